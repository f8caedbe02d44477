"""The whole OMS on a real database, with a scripted venue for each account: what tests of the service start from."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from oms import service
from oms.desk.results import CommandResult
from oms.journal import DESK_LOCK
from oms.model import Account, Principal
from oms.service import Oms, OmsConfig
from oms.store import admin
from oms.store.pool import open_pool
from oms.vault import Vault, new_master_key
from tests.oms.desk.desks import ADMIN, Clock, ScriptedMarket
from tests.oms.desk.scripted_venue import ScriptedVenue
from tests.oms.desk.trading_made import ORDINARY
from tests.waiting import until

MASTER_KEY = new_master_key()
KILL = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND objid = $1"


class World:
    """What outlives a service: venues and the clock. An account's venue is the same after a restart."""

    admin = ADMIN

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn
        self.clock = Clock()
        self.market = ScriptedMarket(self.clock)
        self.vault = Vault([MASTER_KEY])
        self.venues: dict[int, ScriptedVenue] = {}
        self.opened: list[tuple[int, dict[str, Any]]] = []  # the credentials each venue was made with

    def venue_of(self, account: Account, credentials: Mapping[str, Any]) -> ScriptedVenue:
        self.opened.append((account.id, dict(credentials)))
        return self.venue(account.id)

    def venue(self, account_id: int = 1) -> ScriptedVenue:
        return self.venues.setdefault(account_id, ScriptedVenue())

    async def account(self, name: str = "main", **fields: Any) -> int:
        """A new account, made as an administrator makes one."""
        async with await open_pool(self.dsn) as pool:
            return (await admin.add_account(pool, name, "sim", epoch=f"e-{name}", **fields)).id

    @asynccontextmanager
    async def serving(self, **config: Any) -> AsyncIterator[Oms]:
        wanted = OmsConfig(dsn=self.dsn, vault=self.vault, **{"stop_s": 1.0, **config})
        market = ScriptedMarket(self.clock)
        self.market = market
        async with service.serving(wanted, market=market, venue_of=self.venue_of, clock_ns=self.clock) as oms:
            yield oms

    @asynccontextmanager
    async def ready(self, **config: Any) -> AsyncIterator[Oms]:
        """The same, once all accounts are traded on."""
        async with self.serving(**config) as oms:
            await until(lambda: is_ready(oms))
            yield oms


def is_ready(oms: Oms) -> bool:
    return oms._engine is not None and not oms.obstacles


async def lose_database(oms: Oms) -> None:
    """The server ends the one writer's connection."""
    engine = oms._engine
    assert engine is not None
    await oms.pool.execute(KILL, DESK_LOCK)
    await until(engine.lost.is_set)


def sending(account_id: int = 1, request_id: str | None = None, **changes: Any) -> dict[str, Any]:
    """The body of a send_order; what is given as None is left out."""
    payload = {name: value for name, value in {**ORDINARY, **changes}.items() if value is not None}
    named = {"request_id": request_id} if request_id else {}
    return {"account_id": account_id, "command": "send_order", "payload": payload, **named}


def asking(command: str, account_id: int = 1, request_id: str | None = None, **payload: Any) -> dict[str, Any]:
    named = {"request_id": request_id} if request_id else {}
    return {"account_id": account_id, "command": command, "payload": payload, **named}


async def one(oms: Oms, body: dict[str, Any], principal: Principal = ADMIN) -> CommandResult:
    (answer,) = await oms.execute(principal, body)
    return answer
