"""The operators' command line and page: what became of an order, what failed, and how to repair it."""
