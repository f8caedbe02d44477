"""Where orders go: one file for each kind of venue, all behind the same protocol."""
