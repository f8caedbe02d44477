"""Sockets: accept, handshake, a connection's life, HTTP. The only room that awaits a socket."""
