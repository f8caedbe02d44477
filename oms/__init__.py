"""The order management system: not part of this release yet; the room is reserved."""
