"""The operators' tools: what failed, and the way back. They act on the account that the environment names."""
