"""The exchange behind an account, by ccxt's unified functions: what may be called, and by whom it is answered."""
