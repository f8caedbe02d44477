"""The desk: how one account is traded. Commands come in, the venue is asked, and everything is written down first."""
