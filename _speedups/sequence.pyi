"""The ring of a stream: its newest updates, numbered without holes, bounded in number and bytes.

The fan-out uses it in C; what is shown here is for tests.
"""

from typing import Self

from _speedups.frame import Update

class Ring:
    sequence: int

    def __new__(cls, depth_max: int, bytes_max: int) -> Self: ...
    def __len__(self) -> int: ...
    def append(self, data: bytes, t_ex: int | None, t_in: int, t_out: int, snapshot: bool = False) -> Update:
        """Give `data` the next number and keep it; the oldest go when a bound is passed, never the newest."""

    def between(self, first: int, last: int) -> list[Update]:
        """What is still held of first..last."""

    def after(self, sequence: int) -> list[Update] | None:
        """Everything after a number; None when some of it is no longer held, or the number was never given."""

    def clear(self) -> None:
        """Forget everything and start again at 0."""
