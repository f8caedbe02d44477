"""Wire codecs: bytes to requests, values to bytes. Knows no socket, no hub and no exchange."""
