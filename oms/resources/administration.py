"""Accounts, strategies and limits over HTTP: what an administrator, and who manages risk, may look at and change.

Holds what may be changed and by whom; each change is in the audit log. Must not know SQL, nor how a change reaches the
desks. No credential is ever answered.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any, Final, TypeVar
from uuid import uuid4

import msgspec
from litestar import get, patch, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import JSONBody, PathParameter
from msgspec import UNSET, Meta, UnsetType
from msgspec.structs import replace

from oms import render, signing
from oms.auth import may_see, require_admin, require_read, require_risk
from oms.commands import money
from oms.errors import OmsError
from oms.model import Account, Environment, PositionMode, Principal, Risk, Strategy, TradingState
from oms.resources.doors import Asks, Service, refusals
from oms.resources.signatures import IsSigned
from oms.risk import loosened
from oms.shapes import Accounts, AccountShape, RiskShape, Strategies, StrategyShape
from oms.store import admin
from oms.store.pool import Database

T = TypeVar("T")
Name = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[^\x00-\x1f]*\Z")]
Number = Annotated[int, Meta(ge=1, le=10**18 - 1)]
Count = Annotated[int, Meta(ge=0, le=2**31 - 1)]
CountAboveZero = Annotated[int, Meta(ge=1, le=2**31 - 1)]
Money = Annotated[str, Meta(pattern=r"^[0-9]{1,18}(\.[0-9]{1,18})?\Z")]
Secret = Annotated[str, Meta(min_length=1, max_length=8192)]
Credential = Annotated[str, Meta(pattern=r"^(apiKey|secret|password|uid|login|privateKey|walletAddress)\Z")]
AccountId = Annotated[int, PathParameter(ge=1, le=10**18 - 1)]

_LIMITS_OF_MONEY: Final = ("max_order_qty", "max_order_notional", "max_position_notional")


class _Body(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A body that names nothing but what it may."""


class NewAccount(_Body, frozen=True, kw_only=True):
    """`credentials` are what its exchange asks for (`apiKey`, `secret`, ..); they are sealed and never told again."""

    name: Name
    exchange: Name
    environment: Environment = Environment.SIMULATED
    position_mode: PositionMode = PositionMode.NETTING
    credentials: dict[Credential, Secret] = {}


class AccountChange(_Body, frozen=True, kw_only=True):
    id: Number
    name: Name | UnsetType = UNSET
    blocked: bool | UnsetType = UNSET


class NewStrategy(_Body, frozen=True, kw_only=True):
    account_id: Number
    name: Name


class StrategyChange(_Body, frozen=True, kw_only=True):
    id: Number
    name: Name


class RiskChange(_Body, frozen=True, kw_only=True):
    """null takes a limit away; what is not named stays. `trading_state` is the account's kill switch."""

    allow_new_positions: bool | UnsetType = UNSET
    max_order_qty: Money | UnsetType | None = UNSET
    max_order_notional: Money | UnsetType | None = UNSET
    max_open_orders: Count | UnsetType | None = UNSET
    max_position_notional: Money | UnsetType | None = UNSET
    price_collar_bps: Count | UnsetType | None = UNSET
    max_orders_per_s: CountAboveZero | UnsetType | None = UNSET
    max_market_data_age_ms: CountAboveZero | UnsetType = UNSET
    trading_state: TradingState | UnsetType = UNSET


def routes(service: Service) -> list[HTTPRouteHandler]:
    """All that administers."""
    return [*_account_routes(service), *_strategy_routes(service), *_risk_routes(service)]


def _account_routes(service: Service) -> list[HTTPRouteHandler]:
    @get("/oms/accounts", responses=refusals(), tags=["accounts"])
    async def accounts(principal: Asks) -> Accounts:
        """The accounts that may be looked at."""
        return {"items": [_account(account) for account in await _visible(service, principal)]}

    @post("/oms/accounts", responses=refusals(), tags=["accounts"])
    async def add_account(principal: Asks, data: JSONBody[NewAccount]) -> AccountShape:
        """Add an account at a configured exchange; for admins."""
        require_admin(principal)
        await service.require_venue(
            Account(
                id=0, name=data.name, exchange=data.exchange, environment=data.environment,
                position_mode=data.position_mode, epoch="",
            )
        )  # fmt: skip
        async with _changing(service) as db:
            account = await admin.add_account(
                db, data.name, data.exchange,
                epoch=uuid4().hex, environment=data.environment, position_mode=data.position_mode,
            )  # fmt: skip
            if data.credentials:
                await admin.set_credentials(db, account.id, service.vault.seal(account.id, data.credentials))
            await _audit(db, principal, "account.add", f"account {account.id}", {"name": account.name})
        await service.changed()
        return _account(account)

    @patch("/oms/accounts", responses=refusals(), tags=["accounts"])
    async def change_account(principal: Asks, data: JSONBody[AccountChange], is_signed: IsSigned) -> AccountShape:
        """Rename an account, or block it: nothing is sent for a blocked one but what takes orders back; for admins.

        Signed, where it lifts the block of an account that takes signed commands only.
        """
        require_admin(principal)
        changes = _given(data, "name", "blocked")
        async with _changing(service) as db:
            before = _there(await admin.account_to_change(db, data.id), data.id)
            account = replace(before, **changes)
            if before.blocked and not account.blocked:
                _require_signed(before, is_signed)
            await admin.set_account(db, account)
            await _audit(db, principal, "account.change", f"account {account.id}", changes)
        await service.changed()
        return _account(account)

    return [accounts, add_account, change_account]


def _strategy_routes(service: Service) -> list[HTTPRouteHandler]:
    @get("/oms/strategies", responses=refusals(), tags=["strategies"])
    async def strategies(principal: Asks) -> Strategies:
        """The strategies of the accounts that may be looked at."""
        rows = await admin.strategies(service.pool)
        return {"items": [_strategy(row) for row in rows if may_see(principal, row.account_id, row.id)]}

    @post("/oms/strategies", responses=refusals(), tags=["strategies"])
    async def add_strategy(principal: Asks, data: JSONBody[NewStrategy]) -> StrategyShape:
        """Add a strategy to an account: orders may name it once this is answered. For who manages its risk."""
        require_risk(principal, data.account_id)
        async with _changing(service) as db:
            strategy = await admin.add_strategy(db, data.account_id, data.name)
            await _audit(db, principal, "strategy.add", f"strategy {strategy.id}", {"name": strategy.name})
        await service.changed()
        return _strategy(strategy)

    @patch("/oms/strategies", responses=refusals(), tags=["strategies"])
    async def rename_strategy(principal: Asks, data: JSONBody[StrategyChange]) -> StrategyShape:
        """Rename a strategy; for who manages the risk of its account."""
        rows = await admin.strategies(service.pool)
        found = next((row for row in rows if row.id == data.id and may_see(principal, row.account_id, row.id)), None)
        if found is None:
            raise OmsError("validation_error", f"there is no strategy {data.id}", details={"field": "id"})
        require_risk(principal, found.account_id)
        async with _changing(service) as db:
            await admin.rename_strategy(db, data.id, data.name)
            await _audit(db, principal, "strategy.rename", f"strategy {data.id}", {"name": data.name})
        await service.changed()
        return _strategy(replace(found, name=data.name))

    return [strategies, add_strategy, rename_strategy]


def _risk_routes(service: Service) -> list[HTTPRouteHandler]:
    @get("/oms/risk/{account_id:int}", responses=refusals(), tags=["risk"])
    async def risk(principal: Asks, account_id: AccountId) -> RiskShape:
        """What orders of the account are held against."""
        require_read(principal, account_id)
        return _risk(_there(await admin.risk(service.pool, account_id), account_id))

    @patch("/oms/risk/{account_id:int}", responses=refusals(), tags=["risk"])
    async def change_risk(
        principal: Asks, account_id: AccountId, data: JSONBody[RiskChange], is_signed: IsSigned
    ) -> RiskShape:
        """Change limits, or the trading state: in force once this is answered. For who manages the account's risk.

        Signed, where it lets more through and the account takes signed commands only.
        """
        require_risk(principal, account_id)
        changes = _given(data, *data.__struct_fields__)
        exact = {
            name: money(name, value) if name in _LIMITS_OF_MONEY and value is not None else value
            for name, value in changes.items()
        }
        for name in _LIMITS_OF_MONEY:
            if exact.get(name) == 0:
                raise OmsError("validation_error", f"{name}: must be above 0", details={"field": name})
        async with _changing(service) as db:
            account = _there(await admin.account_to_change(db, account_id), account_id)
            before = _there(await admin.risk_to_change(db, account_id), account_id)
            limits = replace(before, **exact)
            if loosened(before, limits):
                _require_signed(account, is_signed)
            await admin.set_risk(db, limits)
            await _audit(db, principal, "risk.change", f"account {account_id}", changes)
        await service.changed()
        return _risk(limits)

    return [risk, change_risk]


def _require_signed(account: Account, is_signed: bool) -> None:
    if account.requires_signing and not is_signed:
        raise signing.required(account_id=account.id)


def _given(body: msgspec.Struct, *names: str) -> dict[str, Any]:
    return {name: value for name in names if (value := getattr(body, name)) is not UNSET}


@asynccontextmanager
async def _changing(service: Service) -> AsyncIterator[Database]:
    """A change and its line in the audit log: both are stored, or neither."""
    async with service.pool.acquire() as db, db.transaction():
        yield db


async def _audit(db: Database, principal: Principal, action: str, subject: str, details: dict[str, Any]) -> None:
    await admin.audit(db, action, subject, details, user_id=principal.user_id, api_key_id=principal.api_key_id)


async def _visible(service: Service, principal: Principal) -> list[Account]:
    rows = await admin.accounts(service.pool)
    if principal.is_admin:
        return rows
    readable = {number for number, permission in principal.permissions.items() if permission.can_read}
    return [row for row in rows if row.id in readable]


def _there(found: T | None, account_id: int) -> T:
    if found is None:
        raise OmsError("account_not_found", "there is no such account", details={"account_id": account_id})
    return found


def _account(account: Account) -> AccountShape:
    return {
        "id": account.id,
        "name": account.name,
        "exchange": account.exchange,
        "environment": account.environment,
        "position_mode": account.position_mode,
        "blocked": account.blocked,
        "requires_signing": account.requires_signing,
    }


def _strategy(strategy: Strategy) -> StrategyShape:
    return {"id": strategy.id, "account_id": strategy.account_id, "name": strategy.name}


def _risk(limits: Risk) -> RiskShape:
    return {
        "account_id": limits.account_id,
        "allow_new_positions": limits.allow_new_positions,
        "max_order_qty": render.maybe(limits.max_order_qty),
        "max_order_notional": render.maybe(limits.max_order_notional),
        "max_open_orders": limits.max_open_orders,
        "max_position_notional": render.maybe(limits.max_position_notional),
        "price_collar_bps": limits.price_collar_bps,
        "max_orders_per_s": limits.max_orders_per_s,
        "max_market_data_age_ms": limits.max_market_data_age_ms,
        "trading_state": limits.trading_state,
    }
