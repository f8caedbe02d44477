"""What stands in for the room of accounts: numbered events in memory, commands and calls that end when told to."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from gateway.core.private import Signature
from oms import signing
from oms.errors import OmsError

CHANNELS = ("orders", "deals", "positions", "alerts")  # that are durable


class Line(NamedTuple):
    channel_sequence: int
    event: str
    data: bytes
    created_ns: int


class Found(NamedTuple):
    events: list[Line]
    upto: int


class State(NamedTuple):
    sequence: int
    items: bytes | None


class Channel:
    """One channel of one account: its events, who listens, and how far each key has confirmed."""

    def __init__(self) -> None:
        self.lines: list[Line] = []
        self.listeners: set[Callable[[], None]] = set()
        self.acked: dict[int, int] = {}

    def commit(self, *values: int, event: str = "order_created") -> None:
        """An event for each value, which is its strategy too."""
        for value in values:
            number = len(self.lines) + 1
            data = json.dumps({"id": number, "strategy_id": value}).encode()
            self.lines.append(Line(number, event, data, 1_790_000_000_000_000_000 + number))
        for listener in list(self.listeners):
            listener()


class FakeView:
    def __init__(self, room: FakeAccounts, channel: Channel, kind: str, allowed: Any) -> None:
        self.epoch = "e1"
        self._room = room
        self._channel = channel
        self._kind = kind
        self._account_id, self._permission = allowed
        self.is_partial = bool(self._permission.strategies)

    @property
    def newest(self) -> int:
        return len(self._channel.lines)

    def is_for(self, principal: Any) -> bool:
        return bool(principal.permissions.get(self._account_id) == self._permission)

    def listen(self, on_more: Callable[[], None]) -> None:
        self._channel.listeners.add(on_more)

    def unlisten(self, on_more: Callable[[], None]) -> None:
        self._channel.listeners.discard(on_more)

    async def read(self, after: int, limit: int) -> Found:
        await self._room.reachable()
        found = self._channel.lines[after : after + limit]
        shown = [line for line in found if self._shows(line)]
        return Found(shown, found[-1].channel_sequence if found else after)

    async def snapshot(self) -> State:
        await self._room.reachable()
        if self._kind == "deals":
            return State(self.newest, None)
        items = [json.loads(line.data) for line in self._channel.lines if self._shows(line)]
        return State(self.newest, json.dumps(items).encode())

    def _shows(self, line: Line) -> bool:
        return not self.is_partial or json.loads(line.data)["strategy_id"] in self._permission.strategies


class FakeAccounts:
    """Accounts 1 and 2 with all channels; also the outbox of itself."""

    def __init__(self) -> None:
        self.channels = {(number, name): Channel() for number in (1, 2) for name in CHANNELS}
        self.asked: list[Any] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.fault: Exception | None = None
        self.signatures: list[Signature | None] = []
        self.signing_secret: bytes | None = b"a secret of 32 bytes............"
        self.exchanges = {1: "sim", 2: "sim", 3: "kraken", 4: "nowhere"}

    @property
    def outbox(self) -> FakeAccounts:
        return self

    @property
    def orders(self) -> Channel:
        return self.channels[1, "orders"]

    async def reachable(self) -> None:
        await asyncio.sleep(0)
        if self.fault is not None:
            raise self.fault

    async def open(self, principal: Any, account_id: int, channel: str) -> FakeView:
        await self.reachable()
        permission = principal.permissions.get(account_id)
        if permission is None or (account_id, channel) not in self.channels:
            raise OmsError("account_not_found", "there is no such account")
        return FakeView(self, self.channels[account_id, channel], channel, (account_id, permission))

    async def acked(self, principal: Any, account_id: int, channel: str) -> int | None:
        await self.reachable()
        return self.channels[account_id, channel].acked.get(principal.api_key_id)

    async def ack(self, principal: Any, account_id: int, channel: str, sequence: int) -> None:
        await self.gate.wait()
        view = await self.open(principal, account_id, channel)
        if sequence > view.newest:
            raise OmsError("validation_error", "sequence: no event has that number yet", details={"newest": 0})
        acked = self.channels[account_id, channel].acked
        acked[principal.api_key_id] = max(sequence, acked.get(principal.api_key_id, 0))

    def exchange_of(self, principal: Any, account_id: int) -> str:
        if self.fault is not None:
            raise self.fault
        if account_id not in principal.permissions:
            raise OmsError("account_not_found", "there is no such account")
        return self.exchanges[account_id]

    def readable(self, principal: Any) -> list[int]:
        if self.fault is not None:
            raise self.fault
        return list(principal.permissions)

    async def call(
        self, principal: Any, account_id: int, func: str, args: Sequence[object], kwargs: Mapping[str, object]
    ) -> bytes:
        self.asked.append((principal and principal.user_name, account_id, func, args, kwargs))
        await self.gate.wait()
        await self.reachable()
        return b'{"symbol":"BTC/USDT","last":1.5}'

    def signer(self, principal: Any, connection_id: str) -> Callable[[bytes], str]:
        if self.signing_secret is None:
            raise OmsError("permission_denied", "this API key cannot sign")
        key = signing.events_key(self.signing_secret, connection_id)
        return lambda text: signing.sign(key, text)

    async def execute(self, principal: Any, body: object, *, signature: Signature | None = None) -> Sequence[Done]:
        self.signatures.append(signature)
        self.asked.append((principal.user_name, body))
        await self.gate.wait()
        await self.reachable()
        return [Done() for _ in (body if isinstance(body, list) else [body])]

    async def publish(self, principal: Any, channel: str, body: bytes) -> Taken:
        self.asked.append((principal.user_name, channel, body))
        await self.gate.wait()
        await self.reachable()
        return Taken(Notice(17, channel, ("BTC/USDT",), body, 1), False)


class Notice(NamedTuple):
    """A publication that is kept."""

    id: int
    channel: str
    symbols: tuple[str, ...]
    data: bytes
    created_ns: int


class Taken(NamedTuple):
    publication: Notice
    replayed: bool


class Done:
    def plain(self, index: int) -> Mapping[str, Any]:
        return {"index": index, "ok": True, "command_id": index + 7, "order_id": None, "error": None}
