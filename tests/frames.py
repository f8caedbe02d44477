"""Server frames as a client without a library sees them: bytes in, frames out.

Knows as much of RFC 6455 as it takes to split unmasked frames; imports nothing of ours, so that it can be held
against it.
"""

from __future__ import annotations

from typing import NamedTuple


class Frame(NamedTuple):
    """One frame as it stands on the wire."""

    wire: bytes
    head_bytes: int

    @property
    def first(self) -> int:
        """FIN, reserved bits and opcode."""
        return self.wire[0]

    @property
    def opcode(self) -> int:
        return self.first & 0x0F

    @property
    def is_compressed(self) -> bool:
        return bool(self.first & 0x40)

    @property
    def payload(self) -> bytes:
        return self.wire[self.head_bytes :]


def split(wire: bytes) -> tuple[list[Frame], bytes]:
    """The frames that are there whole, and what is left behind them."""
    frames, at = [], 0
    while len(wire) - at >= 2:
        size, head = wire[at + 1], 2
        if size >= 126:
            head = 4 if size == 126 else 10
            if len(wire) - at < head:
                break
            size = int.from_bytes(wire[at + 2 : at + head], "big")
        if len(wire) - at < head + size:
            break
        frames.append(Frame(wire[at : at + head + size], head))
        at += head + size
    return frames, wire[at:]


def whole(wire: bytes) -> list[Frame]:
    """The frames of bytes that must end with a whole one."""
    frames, rest = split(wire)
    assert not rest, "a frame is cut"
    return frames
