"""The market-data gateway: configuration, sockets, wire codecs, hub, watches and sources."""

__version__ = "0.1.0"
