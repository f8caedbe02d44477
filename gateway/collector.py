"""How Python's cyclic collector runs in a serving process: rarely, and never over what it has seen before.

Holds the thresholds and the policy. Must not know what the process holds; that a connection is freed without the
collector is its own duty.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, Protocol

# A full collection stops the loop for some 25 ns an object: 250 ms at 10,000 connections, and CPython runs one whenever
# the objects have grown by a quarter. What survives one is frozen instead, so that each looks only at what is new.
THRESHOLDS: Final = (2_000, 5, 5)
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

    def thaw() -> None:
        nonlocal handle
        gc.unfreeze()
        gc.collect()
        handle = call_later(THAW_S, thaw)

    gc.set_threshold(*THRESHOLDS)
    gc.callbacks.append(on_collection)
    gc.collect()
    handle = call_later(THAW_S, thaw)
    try:
        yield
    finally:
        if handle is not None:
            handle.cancel()
        gc.callbacks.remove(on_collection)
        gc.unfreeze()
        gc.set_threshold(*before)
