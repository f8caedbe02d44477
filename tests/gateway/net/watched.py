"""A backend of watched accounts and a clock, both moved by hand."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from oms.errors import OmsError
from tests.gateway.accounts_made import Ending, Standing, standing

T0_NS = 1_770_474_600_000_000_000


class HandClocks:
    """Time stands still until `pass_time`; who sleeps is woken by it."""

    def __init__(self) -> None:
        self.now = 0.0
        self.sleeping: list[tuple[float, asyncio.Future[None]]] = []

    def now_s(self) -> float:
        return self.now

    def time_ns(self) -> int:
        return T0_NS + int(self.now * 1e9)

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            return await asyncio.sleep(0)
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (self.now + seconds, future)
        self.sleeping.append(entry)
        try:
            await future
        finally:
            self.sleeping.remove(entry)
        return None

    async def pass_time(self, seconds: float) -> None:
        """Wake whoever is due in the meantime, each at its moment, and let them do what they can."""
        await settle()
        until = self.now + seconds
        while due := [entry for entry in self.sleeping if entry[0] <= until]:
            at, future = min(due, key=lambda entry: entry[0])
            self.now = max(self.now, at)
            future.set_result(None)
            await settle()
        self.now = until


async def settle() -> None:
    for _ in range(15):
        await asyncio.sleep(0)


class FakeLook:
    def __init__(self, backend: FakeStandings) -> None:
        self._backend = backend
        self.closed = 0

    async def read(self) -> Standing:
        backend = self._backend
        backend.reads += 1
        await backend.gate.wait()
        if backend.fault is not None:
            raise backend.fault
        return backend.now

    async def closings(self, tickets: Sequence[int]) -> Mapping[int, Ending]:
        self._backend.asked += tickets
        return {ticket: self._backend.endings[ticket] for ticket in tickets if ticket in self._backend.endings}

    async def close(self) -> None:
        self.closed += 1


class FakeStandings:
    """Accounts 1 (`main`) and 2 (`other`); both stand as `now` says."""

    def __init__(self) -> None:
        self.now = standing()
        self.names = {"1": 1, "main": 1, "2": 2, "other": 2}
        self.endings: dict[int, Ending] = {}
        self.fault: Exception | None = None
        self.away: OmsError | None = None
        self.gate = asyncio.Event()
        self.gate.set()
        self.reads = 0
        self.asked: list[int] = []
        self.looks: list[FakeLook] = []

    def find(self, principal: Any, reference: str) -> int:
        if self.away is not None:
            raise self.away
        number = self.names.get(reference, 0)
        if number:
            self.require(principal, number)
            return number
        raise OmsError("account_not_found", "there is no such account")

    def require(self, principal: Any, account_id: int) -> None:
        if account_id not in principal.permissions and not principal.is_admin:
            raise OmsError("account_not_found", "there is no such account")

    def look(self, account_id: int) -> FakeLook:
        self.looks.append(FakeLook(self))
        return self.looks[-1]
