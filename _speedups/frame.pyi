"""Finished server frames of RFC 6455 section 5.2, and the forms one update is sent in."""

from collections.abc import Sequence
from typing import Any, Self

OP_CONTINUATION: int
OP_TEXT: int
OP_BINARY: int
OP_CLOSE: int
OP_PING: int
OP_PONG: int

# Slots of a template: what is filled in for each update.
KIND: int
EPOCH: int
SEQUENCE: int
TIMESTAMP: int  # ISO 8601 UTC with milliseconds and Z, of t_ex, or of t_in where the exchange gives no time
T_EX: int  # milliseconds or null
T_IN: int  # nanoseconds
T_OUT: int
TIME_MS: int  # TIMESTAMP as milliseconds since 1970
DATA: int

def encode(opcode: int, payload: bytes, rsv1: bool = False) -> bytes:
    """A finished, unmasked frame with FIN set."""

def close_frame(code: int, reason: str = "") -> bytes:
    """A CLOSE frame; the reason is cut at 123 bytes on a character's border. Code 0: an empty one."""

class Update:
    """One numbered update; rendered once per form, whoever receives it."""

    sequence: int
    snapshot: bool
    t_ex: int | None
    t_in: int
    t_out: int
    data: bytes

    def __new__(cls, sequence: int, data: bytes, t_ex: int | None, t_in: int, t_out: int, snapshot: bool) -> Self:
        """A negative `sequence`, `t_in` or `t_out` is a ValueError; a `t_ex` outside the years 1970 to 9999 is None."""

class Template:
    """Literal bytes and slots, in order; rendering joins them."""

    def __new__(cls, parts: Sequence[bytes | int]) -> Self: ...
    def render(self, update: Update, epoch: str) -> bytes: ...

class Form:
    """A frame class: dialect, prefix and encoding. Subclassed by the codecs; one instance serves all streams."""

    def template(self, topic: Any) -> Template:
        """The payload's template for a topic (whatever the stream was made with)."""

    def gap(self, topic: Any, epoch: str, first: int, last: int, reason: str, new_epoch: str | None) -> bytes:
        """The payload that announces that first..last of `epoch` will not come."""

    def finish(self, payload: bytes) -> bytes:
        """Payload to frame: by default one TEXT frame."""
