"""What stands in for the room that accounts are valued from: holdings in memory, changed by the test."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from oms.errors import OmsError
from oms.valuing import Holdings
from tests.gateway.core.holdings_made import holdings


class FakeTreasury:
    """Account 1, for whoever may read all of it; `fault` is what reading comes to."""

    def __init__(self) -> None:
        self.now = holdings({"USDT": 100, "BTC": 2})
        self.fault: Exception | None = None
        self.currency = "USDT"
        self.opening: dict[str, Decimal] = {}
        self.gate = asyncio.Event()  # reading waits for it
        self.gate.set()
        self.read = 0
        self.since_ns: list[int] = []
        self.asked: list[tuple[str, int]] = []
        self.listeners: list[Callable[[], None]] = []

    def change(self, **fields: Any) -> None:
        """What is committed changes what there is."""
        self.now = holdings(**fields)
        for listener in self.listeners:
            listener()

    def require_whole(self, principal: Any, account_id: int) -> None:
        permission = principal.permissions.get(account_id)
        if permission is None or account_id != 1:
            raise OmsError("account_not_found", "there is no such account")
        if permission.strategies:
            raise OmsError("strategy_permission_denied", "some strategies only")

    def listen(self, account_id: int, on_more: Callable[[], None]) -> None:
        assert account_id == 1
        self.listeners.append(on_more)

    def unlisten(self, account_id: int, on_more: Callable[[], None]) -> None:
        assert account_id == 1
        self.listeners.remove(on_more)

    async def holdings(self, account_id: int, currency: str, since_ns: int) -> Holdings:
        assert (account_id, currency) == (1, self.currency)
        await self.gate.wait()
        self.read += 1
        self.since_ns.append(since_ns)
        if self.fault is not None:
            raise self.fault
        return self.now

    async def opening_price(self, account_id: int, symbol: str, at_ns: int) -> Decimal | None:
        self.asked.append((symbol, at_ns))
        if symbol == "CRASH":
            raise RuntimeError("a bug of an exchange")
        if symbol not in self.opening:
            raise OmsError("exchange_unavailable", "no answer")
        return self.opening[symbol]
