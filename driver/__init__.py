"""The ccxt-compatible client classes: not part of this release yet; the room is reserved."""
