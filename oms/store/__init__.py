"""What is kept, read and administered: SQL off the hot path. Orders and what follows them are written by `journal`."""
