"""The memory of one account."""
