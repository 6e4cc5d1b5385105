"""The measurements: this project beside the sleep that it replaces, beside its alternatives, and beside the limit."""
