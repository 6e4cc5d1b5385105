"""What `make build` made: how large it is, and how it runs under Lambda's own runtime emulator."""
