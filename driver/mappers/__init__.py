"""Orders, deals and positions of the gateway as ccxt's unified structures; pure."""
