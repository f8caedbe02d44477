"""The resources as the gateway serves them, on a real database, with a service that only notes what it is asked."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from decimal import Decimal
from typing import Any, cast

import httpx

from gateway.auth import Gate
from gateway.config import AuthConfig
from gateway.errors import CODES, TickwireError
from gateway.limits import Limits
from gateway.net import http
from gateway.stats import Stats, Tally
from oms import signing
from oms.alerts.service import Alerts, NewAlert
from oms.desk.results import CommandResult
from oms.errors import OmsError
from oms.model import Account, Alert, AlertState, AlertType, Order, Permission, Position, Principal, Role
from oms.publications.service import Publications
from oms.resources.openapi import describe
from oms.resources.router import router
from oms.signing import Signature
from oms.store.pool import Pool
from oms.trader import Readiness
from oms.vault import Vault, new_master_key
from tests.gateway.net.test_http import Nothing
from tests.gateway.users import Users
from tests.oms.full_rows import T
from tests.plain_http import NO_TLS


class NotingService:
    """What handlers ask of the service, as they ask it. The real one is behind the resources end to end."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.vault = Vault([new_master_key()])
        self.publications = Publications(pool)
        self.alerts = cast(Alerts, NotingAlerts(self))
        self.asked: list[tuple[Any, ...]] = []
        self.signatures: list[Signature | None] = []
        self.signed_only: set[int] = set()
        self.results: list[CommandResult] = []
        self.given: tuple[list[Order], list[Position]] = ([], [])
        self.refusal: OmsError | None = None
        self.is_ready = True
        self.accounts: list[Readiness] = []
        self.waits = 0  # requests that wait for the answer to commands

    def _note(self, *asked: Any) -> None:
        self.asked.append(asked)
        if self.refusal is not None:
            raise self.refusal

    @contextmanager
    def waiting(self) -> Iterator[None]:
        self.waits += 1
        try:
            yield
        finally:
            self.waits -= 1

    async def execute(
        self,
        principal: Principal,
        body: object,
        *,
        idempotency_key: str | None = None,
        signature: Signature | None = None,
    ) -> list[CommandResult]:
        self.signatures.append(signature)
        assert self.waits == 1, "who waits for an answer says so"
        self._note("execute", principal.user_name, body, idempotency_key)
        return self.results

    def require_right(self, principal: Principal, signature: Signature) -> None:
        self.signatures.append(signature)
        if signature.sig != "right":
            raise signing.refusal("signature_invalid", "no")

    def require_unsigned(self, principal: Principal, account_id: int) -> None:
        if account_id in self.signed_only:
            raise signing.required(account_id=account_id)

    def readiness(self) -> list[Readiness]:
        return self.accounts

    async def require_venue(self, account: Account) -> None:
        if account.exchange != "sim":
            raise OmsError("unsupported_engine", f"no exchange {account.exchange} is configured")

    async def changed(self) -> None:
        self._note("changed")

    async def reconcile(self, account_id: int) -> None:
        self._note("reconcile", account_id)

    async def reassign(
        self,
        principal: Principal,
        account_id: int,
        strategy_id: int,
        *,
        order_ids: Sequence[int],
        position_ids: Sequence[int],
    ) -> tuple[list[Order], list[Position]]:
        self._note("reassign", account_id, strategy_id, list(order_ids), list(position_ids))
        return self.given


class NotingAlerts:
    """The same of alerts: what is asked about one is answered with it."""

    def __init__(self, service: NotingService) -> None:
        self._service = service

    async def create(self, principal: Principal, wanted: NewAlert) -> Alert:
        self._service._note("create", principal.user_name, wanted)
        fields = {name: getattr(wanted, name) for name in wanted.__struct_fields__ if name != "exchange"}
        return Alert(id=1, user_id=7, exchange="sim", created_ns=0, updated_ns=0, **fields)

    async def rearm(self, principal: Principal, number: int) -> Alert:
        self._service._note("rearm", principal.user_name, number)
        return alert_of(number)

    async def delete(self, principal: Principal, number: int) -> Alert:
        self._service._note("delete", principal.user_name, number)
        return alert_of(number)


def alert_of(number: int, account_id: int = 1, **fields: Any) -> Alert:
    """One that was met."""
    ordinary = {
        "user_id": 7, "exchange": "sim", "symbol": "BTC/USDT", "type": AlertType.ABOVE, "price": Decimal("61000.5"),
        "state": AlertState.TRIGGERED, "created_ns": T, "updated_ns": T, "triggered_ns": T,
        "triggered_price": Decimal("61001"),
    }  # fmt: skip
    return Alert(id=number, account_id=account_id, **{**ordinary, **fields})


class Served:
    """A client of it; each call names the user who asks."""

    def __init__(self, client: httpx.AsyncClient, users: Users, service: NotingService) -> None:
        self.client = client
        self.users = users
        self.service = service

    async def get(self, user: str, path: str, **query: Any) -> httpx.Response:
        return await self.client.get(path, params=query, headers={"x-api-key": self.users.texts[user]})

    async def send(self, user: str, method: str, path: str, body: Any, **headers: str) -> httpx.Response:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"x-api-key": self.users.texts[user], "content-type": "application/json", **headers}
        return await self.client.request(method, path, content=content, headers=headers)


@asynccontextmanager
async def serving(pool: Pool) -> AsyncIterator[Served]:
    """Users: `root` an admin, `ann` of account 1, `sam` who only looks at strategy 7 of account 1, `eve` of nothing."""
    users = Users()
    users.add("root", Role.ADMIN)
    users.add("ann", permissions={1: Permission(account_id=1, can_trade=True, can_risk_manage=True)})
    users.add("sam", permissions={1: Permission(account_id=1, strategies=frozenset({7}))})
    users.add("eve", permissions={})
    service = NotingService(pool)
    stats = Stats(fanned=Nothing(), published=Nothing(), connected=Nothing(), sources={}, tally=Tally(), started_s=0.0)
    gate = Gate(users.auth, AuthConfig(), anonymous=True)

    def reads(error: OmsError) -> TickwireError:
        return TickwireError(error.code, error.message, details=error.details, retry_after_ms=error.retry_after_ms)

    mounted = http.Mounted([router(service, CODES.__getitem__)], {OmsError: reads}, describe)
    app = http.build(stats, dict, Limits(), "1.2.3", gate, mounted)
    async with httpx.AsyncClient(
        verify=NO_TLS, transport=httpx.ASGITransport(cast(Any, app)), base_url="http://gateway"
    ) as client:
        yield Served(client, users, service)
