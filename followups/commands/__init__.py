"""The commands, one module each: what is asked for, what is printed, and the exit code."""
