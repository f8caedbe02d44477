"""The fan-out of an event loop, within its limits.

Holds which limits are the compiled core's. Must not know who is given it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from _speedups.fanout import Fanout
from gateway.limits import Limits


class Loop(Protocol):
    """The part of an event loop that a fan-out uses."""

    def call_soon(self, callback: Callable[[], None], /) -> object: ...
    def call_later(self, delay: float, callback: Callable[[], None], /) -> object: ...


def make_fanout(loop: Loop, limits: Limits) -> Fanout:
    """One for everything that is sent from this loop."""
    return Fanout(
        loop.call_soon,
        loop.call_later,
        flush_max_us=limits.flush_max_us,
        slice_sends=limits.slice_sends,
        urgent_slice_sends=limits.urgent_slice_sends,
        queue_state_bytes=limits.queue_state_bytes,
        queue_append_bytes=limits.queue_append_bytes,
        queue_bytes_max=limits.queue_bytes_max,
    )
