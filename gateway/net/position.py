"""How far a reader of one stream has come, as its messages tell it (docs/protocol.md, "What a client does").

Holds that one rule, for everyone who follows a stream. Must not know a connection, or what is done with the position.
"""

from __future__ import annotations

from typing import Any

from gateway.wire.stream import Position


def position_after(body: dict[str, Any], symbol: str, position: Position | None) -> Position | None:
    """Where a reader at `position` stands when it has taken this message; None while nothing has been told."""
    if body.get("type") == "subscribed":
        stream = body.get("data", {}).get("streams", {}).get(symbol)
        if stream and not stream.get("recovered"):
            return Position(stream["epoch"], stream["sequence"])
    elif body.get("type") == "gap":
        # Numbers a gap announced are lost, and not asked for again.
        return Position(body["new_epoch"], 0) if "new_epoch" in body else Position(body["epoch"], body["to"])
    elif "sequence" in body:
        return Position(body["epoch"], body["sequence"])
    return position
