"""Keys, topics, the hub and watches: pure or synchronous. Knows no socket and no exchange."""
