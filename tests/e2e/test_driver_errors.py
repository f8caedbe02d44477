"""Every code of the error catalogue, provoked on a real server through the driver, is raised as the right exception.

The right one is what a program written for ccxt catches for it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

import pytest
from ccxt.base import errors as ccxt

from driver.async_ import OmsCcxtExchange
from driver.errors import refusal_of
from gateway.errors import CODES
from oms import keys
from oms.model import Permission, Role, Scope
from oms.postgres import Embedded
from oms.store import admin, history
from oms.store.pool import open_pool
from tests.e2e.ordering import Ordering, lose_database, ordering
from tests.oms import database

BTC: Final = "BTC/USDT"
LIMIT: Final = (BTC, "limit", "buy", 0.01, 50_000)
MARKET: Final = (BTC, "market", "buy", 0.01)

CREDENTIALS: Final[Mapping[str, type[ccxt.BaseError]]] = {
    "missing_api_key": ccxt.AuthenticationError,
    "invalid_api_key": ccxt.AuthenticationError,
    "token_expired": ccxt.AuthenticationError,
    "permission_denied": ccxt.PermissionDenied,
    "strategy_permission_denied": ccxt.PermissionDenied,
    "account_not_found": ccxt.AccountNotEnabled,
}
ORDERS: Final[Mapping[str, type[ccxt.BaseError]]] = {
    "validation_error": ccxt.InvalidOrder,
    "unknown_symbol": ccxt.BadSymbol,
    "unsupported_action": ccxt.NotSupported,
    "order_not_found": ccxt.OrderNotFound,
    "position_not_found": ccxt.InvalidOrder,
    "invalid_order_state": ccxt.InvalidOrder,
    "position_close_in_progress": ccxt.InvalidOrder,
    "duplicate_client_order_id": ccxt.DuplicateOrderId,
    "idempotency_conflict": ccxt.DuplicateOrderId,
    "reduce_only_violation": ccxt.OperationRejected,
    "insufficient_funds": ccxt.InsufficientFunds,
}
RISK: Final[Mapping[str, type[ccxt.BaseError]]] = {
    "rate_limited": ccxt.RateLimitExceeded,
    "risk_blocked": ccxt.OperationRejected,
    "stale_market_data": ccxt.OperationRejected,
    "account_blocked": ccxt.AccountSuspended,
    "unsupported_engine": ccxt.NotSupported,
}
FAILURES: Final[Mapping[str, type[ccxt.BaseError]]] = {
    "exchange_error": ccxt.ExchangeError,
    "exchange_unavailable": ccxt.ExchangeNotAvailable,
    "outcome_unknown": ccxt.RequestTimeout,
    "internal_error": ccxt.ExchangeError,
}
DATABASE: Final[Mapping[str, type[ccxt.BaseError]]] = {"engine_unavailable": ccxt.ExchangeNotAvailable}
BY_SOCKET: Final = ("not_authenticated", "too_many_subscriptions")  # tests/e2e/test_driver_errors_pro.py
UNSEEN: Final = {
    "deal_not_found": "nothing is refused with it: a deal that is not there is among `missing`",
    "alert_not_found": "the driver asks for no alerts",
    "unsupported_channel": "the driver subscribes to no other channels than there are",
    "too_many_connections": "the driver asks by HTTP instead, until there is room",
}


class Provoked:
    """What was raised so far."""

    def __init__(self, expected: Mapping[str, type[ccxt.BaseError]]) -> None:
        self._expected = expected
        self._seen: set[str] = set()

    async def by(self, code: str, call: Awaitable[Any]) -> ccxt.BaseError:
        """Refused with this code, and raised as the very class that it is expected to be."""
        with pytest.raises(ccxt.BaseError) as raised:
            await call
        said = refusal_of(raised.value)
        assert said is not None, raised.value
        assert (said.code, type(raised.value)) == (code, self._expected[code]), said
        self._seen.add(code)
        return raised.value

    def assert_all(self) -> None:
        assert self._seen == set(self._expected)


@asynccontextmanager
async def client(gateway: Ordering, user: str = "ann", **config: Any) -> AsyncIterator[Any]:
    """Of the account 1. It tries nothing twice."""
    options = {"account_id": 1, "retries": 1, **config.pop("options", {})}
    given = {"apiKey": gateway.keys[user], "hostname": f"127.0.0.1:{gateway.app.port}", "options": options, **config}
    async with OmsCcxtExchange(given) as exchange:
        yield exchange


async def command(exchange: Any, name: str, **payload: Any) -> Any:
    """A command that no unified method is."""
    return await exchange.carry_out(exchange.command(name, payload))


async def give_key(gateway: Ordering, name: str, *, expires_ns: int | None = None, **permission: Any) -> None:
    """A user whose key may do this on account 1."""
    made = keys.make()
    assert gateway.config.oms.database_url is not None
    async with await open_pool(gateway.config.oms.database_url) as pool:
        user = await admin.add_user(pool, name, Role.TRADER)
        key = await admin.add_key(
            pool, user.id, prefix=made.prefix, hash=made.hash, scopes=frozenset(Scope), expires_ns=expires_ns
        )  # fmt: skip
        await admin.grant(pool, key.id, Permission(account_id=1, **permission))
    gateway.keys[name] = made.text
    # Until the gateway has heard of it, it is no key at all.
    await gateway.until(
        lambda answer: answer[1].get("code") != "invalid_api_key", lambda: gateway.ask(name, "GET", "/oms/accounts")
    )


def test_every_code_of_the_catalogue_is_provoked_or_excused() -> None:
    provoked = [*CREDENTIALS, *ORDERS, *RISK, *FAILURES, *DATABASE, *BY_SOCKET]
    assert sorted([*provoked, *UNSEEN]) == sorted(CODES)


async def test_who_may_not(gateway_with_orders: Ordering) -> None:
    gateway, provoked = gateway_with_orders, Provoked(CREDENTIALS)
    await give_key(gateway, "viewer")
    await give_key(gateway, "expired", expires_ns=1)
    await give_key(gateway, "some", can_trade=True, strategies=frozenset({7}))
    gateway.keys["wrong"] = "nonsense"
    async with client(gateway, apiKey="", headers={"Authorization": "Basic YTpi"}) as exchange:
        await provoked.by("missing_api_key", exchange.fetch_open_orders())
    for user, code in (("wrong", "invalid_api_key"), ("expired", "token_expired")):
        async with client(gateway, user) as exchange:
            await provoked.by(code, exchange.fetch_open_orders())
            await provoked.by(code, exchange.fetch_balance())
    for user, code in (("viewer", "permission_denied"), ("some", "strategy_permission_denied")):
        async with client(gateway, user) as exchange:
            await provoked.by(code, exchange.create_order(*LIMIT))
    async with client(gateway, "bob") as exchange:
        await provoked.by("account_not_found", exchange.fetch_balance())
        await provoked.by("account_not_found", exchange.fetch_ticker(BTC))
        await provoked.by("account_not_found", exchange.fetch_open_orders())
    provoked.assert_all()


async def test_what_orders_are_refused_for(gateway_with_orders: Ordering) -> None:
    gateway, provoked = gateway_with_orders, Provoked(ORDERS)
    async with client(gateway) as exchange:
        order = await exchange.create_order(*LIMIT, {"clientOrderId": "mine", "request_id": "r-1"})
        await provoked.by("duplicate_client_order_id", exchange.create_order(*LIMIT, {"clientOrderId": "mine"}))
        await provoked.by("idempotency_conflict", exchange.create_order(*LIMIT, {"request_id": "r-1"}))
        await provoked.by("validation_error", exchange.create_order(*LIMIT, {"clientOrderId": "not a name"}))
        await provoked.by("reduce_only_violation", exchange.create_order(*LIMIT, {"reduceOnly": True}))
        await provoked.by("insufficient_funds", exchange.create_order(BTC, "limit", "buy", 100, 60_000))
        await provoked.by("unknown_symbol", exchange.fetch_ticker("NO/SUCH"))
        await provoked.by("unsupported_action", exchange.add_margin(BTC, 5))
        await provoked.by("order_not_found", exchange.cancel_order("999"))
        await exchange.cancel_order(order["id"])
        await provoked.by("invalid_order_state", exchange.cancel_order(order["id"]))
        await provoked.by("position_not_found", command(exchange, "close_position", position_id=999))
        bought = await exchange.create_order(*MARKET)
        await gateway.until_order(int(bought["id"]), state="FILLED")
        await exchange.close_position(BTC, params={"price": 90_000})
        await provoked.by("position_close_in_progress", exchange.close_position(BTC))
    provoked.assert_all()


async def test_what_the_exchange_refuses_is_the_class_that_ccxt_has_for_it(gateway_with_orders: Ordering) -> None:
    gateway = gateway_with_orders
    async with client(gateway) as exchange:
        refusals: list[tuple[dict[str, Any], type[ccxt.BaseError]]] = [
            ({"code": -2010, "message": "Order would immediately match and take."}, ccxt.OrderImmediatelyFillable),
            ({"code": -1013, "message": "Filter failure: LOT_SIZE"}, ccxt.InvalidOrder),
            ({"code": -2010, "message": "This action is disabled on this account."}, ccxt.InvalidOrder),
            ({"code": -2010, "message": "Market is closed."}, ccxt.MarketClosed),
            ({"code": -2015, "message": "Invalid API-key.", "status": 401}, ccxt.AuthenticationError),
            ({"code": -1021, "message": "Timestamp is outside of the recvWindow."}, ccxt.InvalidNonce),
            ({"code": -1015, "message": "Too many new orders."}, ccxt.RateLimitExceeded),
            ({"code": -2010, "message": "Duplicate order sent."}, ccxt.DuplicateOrderId),
        ]
        for number, (fault, kind) in enumerate(refusals):
            await gateway.exchange.fault("reject", **fault)
            for _ in range(2):  # the second time it is told again
                with pytest.raises(ccxt.BaseError) as raised:
                    await exchange.create_order(*LIMIT, {"request_id": f"r-{number}", "clientOrderId": f"c-{number}"})
                assert type(raised.value) is kind, fault
        assert await exchange.fetch_open_orders() == []


async def test_an_order_that_cannot_be_is_an_invalid_order(gateway_with_orders: Ordering) -> None:
    async with client(gateway_with_orders) as exchange:
        for order, kind in (
            ((BTC, "limit", "buy", 0.01, 61_000, {"postOnly": True}), ccxt.OrderImmediatelyFillable),
            ((BTC, "limit", "buy", 0.0000001, 50_000), ccxt.InvalidOrder),
            ((BTC, "limit", "buy", 0.00001, 50_000), ccxt.InvalidOrder),  # below the minimum notional
            ((BTC, "limit", "buy", 0.01, -1), ccxt.InvalidOrder),
            ((BTC, "limit", "buy", 0.01), ccxt.ArgumentsRequired),
            ((BTC, "limit", "buy", 0.01, 50_000, {"triggerPrice": -1}), ccxt.InvalidOrder),
        ):
            with pytest.raises(ccxt.BaseError) as raised:
                await exchange.create_order(*order)
            assert type(raised.value) is kind, order
        missing = {"symbol": BTC, "side": "buy", "order_type": "limit", "price": "50000"}
        with pytest.raises(ccxt.ArgumentsRequired):
            await command(exchange, "send_order", **missing)


async def test_what_limits_and_switches_refuse(gateway_with_orders: Ordering) -> None:
    gateway, provoked = gateway_with_orders, Provoked(RISK)
    async with client(gateway) as exchange, client(gateway, "root") as root:
        await exchange.create_order(*MARKET)
        await gateway.limits(max_orders_per_s=1)
        await gateway.until(lambda result: result["ok"], gateway.send)
        await provoked.by("rate_limited", exchange.create_order(*LIMIT))
        await gateway.limits(max_orders_per_s=None, trading_state="halted")
        await provoked.by("risk_blocked", exchange.create_order(*LIMIT))
        await gateway.limits(trading_state="active")
        for stream in ("btcusdt@bookTicker", "btcusdt@ticker"):
            await gateway.exchange.fault("silent", stream=stream, pong=True)
        await gateway.limits(max_market_data_age_ms=200)
        await gateway.until(
            lambda result: not result["ok"], lambda: gateway.send(order_type="market", price=None, qty="0.001")
        )  # fmt: skip
        await provoked.by("stale_market_data", exchange.create_order(*MARKET))
        status, answer = await gateway.ask("root", "PATCH", "/oms/accounts", {"id": 1, "blocked": True})
        assert status == 200, answer
        await provoked.by("account_blocked", exchange.create_order(*LIMIT))
        account = {"name": "elsewhere", "exchange": "nowhere"}
        await provoked.by("unsupported_engine", root.request("oms/accounts", "private", "POST", {"content": account}))
    provoked.assert_all()


async def test_what_fails_behind_the_gateway(gateway_with_orders: Ordering, monkeypatch: pytest.MonkeyPatch) -> None:
    gateway, provoked = gateway_with_orders, Provoked(FAILURES)
    async with client(gateway) as exchange:
        order = await exchange.create_order(*LIMIT)
        await gateway.exchange.fault("reject", code=-3999, message="SOMETHING else")
        refused = await provoked.by("exchange_error", exchange.create_order(*LIMIT))
        assert "SOMETHING" in str(refused)
        await gateway.exchange.fault("rest", status=503, path="/api/v3/account", count=1)
        await provoked.by("exchange_unavailable", exchange.fetch_balance())
        await gateway.exchange.fault("lose", request="DELETE order", accepted=False)
        await provoked.by("outcome_unknown", exchange.cancel_order(order["id"]))

        async def broken(*_: Any, **__: Any) -> Any:
            raise RuntimeError("a fault of ours")

        with monkeypatch.context() as patch:
            patch.setattr(history, "orders", broken)
            await provoked.by("internal_error", exchange.fetch_open_orders())
    provoked.assert_all()


async def test_what_is_refused_while_the_database_is_away(own_server: Embedded) -> None:
    provoked = Provoked(DATABASE)
    async with ordering(await database.make_database(own_server.dsn)) as gateway, client(gateway) as exchange:
        await exchange.load_markets()
        await lose_database(own_server)
        await gateway.until(lambda result: not result["ok"], gateway.send)
        await provoked.by("engine_unavailable", exchange.create_order(*LIMIT))
        await provoked.by("engine_unavailable", exchange.fetch_open_orders())
        await provoked.by("engine_unavailable", exchange.fetch_balance())
    provoked.assert_all()
