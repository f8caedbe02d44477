"""An account as one who observes it is told of it: every change goes on from the value there was.

Pure: messages of the account dialect are handed in. Must not know connections or clocks.
"""

from __future__ import annotations

from typing import Any


class Observing:
    """The figures and the open positions that were told last."""

    def __init__(self) -> None:
        self._figures: dict[str, Any] = {}
        self._positions: set[Any] = set()

    def take(self, message: dict[str, Any]) -> int:
        """How many changes of it do not begin where the ones before had ended; what is a snapshot begins anew."""
        match message["type"]:
            case "account_update":
                return self._update(message["changes"], is_snapshot=bool(message.get("snapshot")))
            case "position_opened":
                was_there = message["position"]["ticket"] in self._positions
                self._positions.add(message["position"]["ticket"])
                return int(was_there and not message.get("snapshot"))
            case "position_modified" | "position_closed":
                was_there = message["ticket"] in self._positions
                if message["type"] == "position_closed":
                    self._positions.discard(message["ticket"])
                return int(not was_there)
        return 0

    def _update(self, changes: dict[str, dict[str, Any]], *, is_snapshot: bool) -> int:
        broken = 0
        for name, change in changes.items():
            broken += change["old"] != (None if is_snapshot else self._figures.get(name))
            self._figures[name] = change["new"]
        return broken
