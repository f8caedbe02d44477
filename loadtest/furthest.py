"""How far anybody came in each stream, so that who fell silent in it is seen: no later number shows him a hole.

Pure: positions are handed in as they are had. Must not know connections or messages. It is for clients of one process
what `_swarm_ends.h` is for the compiled ones.
"""

from __future__ import annotations

from collections.abc import Hashable

from loadtest.streams import Position


class Furthest:
    """The newest epoch of each stream, which is the one that somebody was in last for the first time, and the highest
    number in it."""

    def __init__(self) -> None:
        self._births: dict[Hashable, dict[str, int]] = {}  # the epochs of a stream, by when they were first seen
        self._at: dict[Hashable, Position] = {}

    def saw(self, stream: Hashable, position: Position) -> None:
        """Somebody is there."""
        if self.missed(stream, position, self._at.get(stream)):
            self._at[stream] = position

    def of(self, stream: Hashable) -> Position | None:
        """Where the furthest is; nothing of what nobody was ever in."""
        return self._at.get(stream)

    def missed(self, stream: Hashable, goal: Position | None, position: Position | None) -> int:
        """How many numbers up to the goal a position has not; of one in an epoch before the goal's at least one."""
        if goal is None:
            return 0
        if position is None:
            return max(1, goal[1])
        births = self._births.setdefault(stream, {})
        at, aimed = (births.setdefault(epoch, len(births)) for epoch in (position[0], goal[0]))
        if at == aimed:
            return max(0, goal[1] - position[1])
        return 0 if at > aimed else max(1, goal[1])
