"""Streams of the driver without a socket: a sink that keeps what it is told, and messages as the gateway sends them.

Must not know what a test asserts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from driver.stream import Gap, Key, Stream
from driver.streams import Streams

QUOTES = Key("quotes", "sim:BTC/USDT")
TRADES = Key("trades", "sim:BTC/USDT")
ORDERS = Key("orders", "1")
POSITIONS = Key("positions", "1")


class Listener:
    """A sink that keeps what it is told."""

    symbol = "BTC/USDT"

    def __init__(self) -> None:
        self.told: list[Any] = []
        self.gaps: list[Gap] = []
        self.states: list[bool] = []
        self.failures: list[str] = []

    def update(self, message: dict[str, Any]) -> None:
        self.told.append(message)

    def gap(self, gap: Gap) -> None:
        self.gaps.append(gap)

    def live(self, is_live: bool) -> None:
        self.states.append(is_live)

    def failed(self, code: str, message: str) -> None:
        self.failures.append(code)

    def fail(self, error: BaseException) -> None:
        raise AssertionError("nobody waits here")

    def begun(self, stream: Stream) -> None:
        self.stream = stream

    def watch(self, watcher: Any, symbols: Any = ()) -> None:
        raise AssertionError("nobody watches here")

    unwatch = watch

    @property
    def numbers(self) -> list[int]:
        return [message["sequence"] for message in self.told]


class Client:
    """Streams, what they want to be told later, and what they have to send."""

    def __init__(self) -> None:
        self.later: list[Callable[[], None]] = []
        self.streams = Streams(lambda _, action: self.later.append(action), lambda: None)

    def use(self, key: Key, depth: int = 0) -> Listener:
        listener = Listener()
        self.streams.use(key, lambda: listener, depth)
        return listener

    def open(self) -> list[dict[str, Any]]:
        self.streams.opened()
        return self.streams.requests()

    def pass_time(self) -> None:
        later, self.later = self.later, []
        for action in later:
            action()


def subscribed(request: dict[str, Any], *, errors: Any = None, **state: Any) -> dict[str, Any]:
    names = [str(name) for name in request.get("symbols") or request["account_ids"]]
    given = {"epoch": "e1", "sequence": 0, "recovered": None, "replayed": 0, **state}
    streams = {name: given for name in names if name not in (errors or {})}
    return {
        "type": "subscribed", "id": request["id"], "channel": request["channel"],
        "data": {"streams": streams, "errors": errors or {}},
    }  # fmt: skip


def update(
    number: int, channel: str = "quotes", epoch: str = "e1", kind: str = "update", **data: Any
) -> dict[str, Any]:
    return {"type": "x", "channel": channel, "kind": kind, "epoch": epoch, "sequence": number, "data": data}


def gap(first: int, last: int, channel: str = "quotes", epoch: str = "e1", **more: Any) -> dict[str, Any]:
    return {
        "type": "gap", "channel": channel, "epoch": epoch, "from": first, "to": last, "reason": "slow_consumer", **more
    }  # fmt: skip


def live(key: Key = QUOTES, **state: Any) -> tuple[Client, Listener]:
    """One stream, subscribed."""
    client = Client()
    listener = client.use(key)
    (request,) = client.open()
    client.streams.receive(subscribed(request, **state))
    return client, listener
