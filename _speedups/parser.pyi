"""Bytes of a client in, messages out: RFC 6455 as a server reads it."""

COMPRESSED: int  # or'ed to OP_TEXT or OP_BINARY: the payload came with RSV1 set

class Parser:
    """One connection's read side, without a socket."""

    done: bool
    """A CLOSE or a violation was read: `feed` returns nothing any more."""

    failure: tuple[int, str] | None
    """(close code, reason) of the violation, once there was one."""

    def __init__(self, message_bytes_max: int, deflate: bool = False) -> None: ...
    def feed(self, data: bytes) -> list[tuple[int, str | bytes]]:
        """What `data` completed, in order, as (kind, payload); a kind is an opcode of `_speedups.frame`.

        Text comes as str, checked; binary, ping and pong as bytes; close as its payload (empty, or an allowed code and
        a UTF-8 reason). OP_TEXT | COMPRESSED and OP_BINARY | COMPRESSED come as the bytes to inflate, text unchecked.
        """
