"""Where a reader stands after each kind of message."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.net.position import position_after
from gateway.wire.stream import Position

HERE = Position("e1", 7)
GAP = {"type": "gap", "epoch": "e1", "from": 8, "to": 9, "reason": "slow_consumer"}


def subscribed(symbol: str, recovered: bool | None) -> dict[str, Any]:
    stream = {"epoch": "e2", "sequence": 40, "recovered": recovered}
    return {"type": "subscribed", "data": {"streams": {symbol: stream}, "errors": {}}}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"type": "quote", "kind": "update", "epoch": "e1", "sequence": 8, "data": {}}, Position("e1", 8)),
        ({"type": "quote", "kind": "snapshot", "epoch": "e2", "sequence": 1, "data": {}}, Position("e2", 1)),
        (GAP, Position("e1", 9)),
        ({**GAP, "to": 8, "reason": "upstream", "new_epoch": "e2"}, Position("e2", 0)),
        (subscribed("BTC/USDT", None), Position("e2", 40)),
        (subscribed("BTC/USDT", False), Position("e2", 40)),
        (subscribed("BTC/USDT", True), HERE),
        (subscribed("ETH/USDT", None), HERE),
        ({"type": "subscribed", "data": {"streams": {}, "errors": {"BTC/USDT": "unknown_symbol"}}}, HERE),
        ({"type": "server_shutdown", "reconnect_after_ms": 5}, HERE),
        ({"type": "connected"}, HERE),
    ],
)
def test_the_position_after_a_message(body: dict[str, Any], expected: Position) -> None:
    assert position_after(body, "BTC/USDT", HERE) == expected


def test_nothing_is_known_before_the_first_word() -> None:
    assert position_after({"type": "connected"}, "BTC/USDT", None) is None
