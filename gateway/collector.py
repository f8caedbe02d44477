"""How Python's cyclic collector runs in a serving process: rarely, and never over what it has seen before.

Holds the thresholds and the policy. Must not know what the process holds; that a connection is freed without the
collector is its own duty.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, Protocol

# A full collection stops the loop for 25 ns an object and more: 250 ms at 10,000 connections, and CPython runs one
# whenever the objects have grown by a quarter. What survives one is frozen instead, so that each looks only at what is
# new; and it comes after some 20,000 new ones, since after 84,000 it stopped the loop for 25 to 50 ms in a storm.
THRESHOLDS: Final = (2_000, 2, 1)
# Cycles that die after they were frozen wait for this; those that connections make are broken by hand.
THAW_S: Final = 3600.0


class Handle(Protocol):
    def cancel(self) -> None: ...


CallLater = Callable[[float, Callable[[], None]], Handle]


@contextmanager
def collecting(call_later: CallLater) -> Iterator[None]:
    """While inside, every full collection freezes its survivors; all are looked at again each THAW_S."""
    before = gc.get_threshold()
    handle: Handle | None = None

    def on_collection(phase: str, info: dict[str, int]) -> None:
        if phase == "stop" and info["generation"] == 2:
            gc.freeze()

    def freeze() -> None:
        gc.collect()
        gc.collect()  # of the little that is not frozen: CPython waits for a quarter more than the last one has left

    def thaw() -> None:
        nonlocal handle
        gc.unfreeze()
        freeze()
        handle = call_later(THAW_S, thaw)

    gc.set_threshold(*THRESHOLDS)
    gc.callbacks.append(on_collection)
    freeze()
    handle = call_later(THAW_S, thaw)
    try:
        yield
    finally:
        if handle is not None:
            handle.cancel()
        gc.callbacks.remove(on_collection)
        gc.unfreeze()
        gc.set_threshold(*before)
