"""What `make build` made: how large it is, what is in it and under which licences, and how fast it starts."""
