"""What `make build` made: how large it is, and how fast it starts."""
