"""A simulated Binance-spot-compatible exchange, run as a process of its own."""
