"""The alerts of all accounts, for as long as the database is ours: made, deleted and armed again, watched, and met.

A rule that is met changes in memory at once, and is written together with the event that tells of it, so it is told
exactly once. A stale quote meets nothing. Must not know SQL, HTTP, or how a quote came.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import TYPE_CHECKING, Final

import msgspec
import structlog
from msgspec.structs import replace

from oms.alerts.watchlist import Watchlist
from oms.auth import require_read, strategies_of
from oms.errors import OmsError
from oms.market import MarketData
from oms.model import Alert, AlertState, AlertType, Principal, Quote
from oms.store import alerts
from oms.store.pool import UNAVAILABLE, Pool

if TYPE_CHECKING:
    from oms.desk.desk import Desk

log = structlog.get_logger(__name__)

QUOTE_S: Final = 2.0  # how long a new rule waits for a first price of its symbol
RETRY_MS: Final = 1_000
PRICE_MAX: Final = Decimal(10) ** 18  # what is no price could not be written down either
Place = tuple[str, str]  # exchange, symbol


class AlertLimits(msgspec.Struct, frozen=True, kw_only=True):
    """How many there may be, armed or triggered, until they are deleted."""

    per_user_max: int = 1_000
    per_account_max: int = 5_000


class NewAlert(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked for, as far as it can be read. `exchange`: that of the account unless named."""

    account_id: int
    symbol: str
    type: AlertType
    exchange: str | None = None
    price: Decimal | None = None
    percent: Decimal | None = None
    window_s: int | None = None
    message: str = ""
    request_id: str | None = None


class Alerts:
    """See the module."""

    def __init__(self, market: MarketData, pool: Pool, limits: AlertLimits, desk_of: Callable[[int], Desk]) -> None:
        """`desk_of` raises OmsError `account_not_found`."""
        self._market = market
        self._pool = pool
        self._limits = limits
        self._desk_of = desk_of
        self._alerts: dict[int, Alert] = {}
        self._requests: dict[tuple[int | None, str], int] = {}  # what made those that there are, by API key
        self._lists: dict[Place, Watchlist] = {}
        self._users: Counter[int] = Counter()
        self._accounts: Counter[int] = Counter()

    def load(self, stored: Iterable[Alert]) -> None:
        """Wait for those that are armed, as after a restart."""
        for alert in stored:
            self._count(alert, 1)
            self._alerts[alert.id] = alert
            self._remember(alert)
            if alert.state is AlertState.ARMED:
                self._arm(alert)

    def stop(self) -> None:
        """Wait for nothing any more."""
        for exchange, symbol in self._lists:
            self._market.unwatch(exchange, symbol)
        self._lists.clear()

    def on_quote(self, exchange: str, symbol: str, quote: Quote) -> None:
        """The market has moved, or is not known any more."""
        watchlist = self._lists.get((exchange, symbol))
        if watchlist is None:
            return
        price = None if quote.stale else price_of(quote)
        if price is None:
            watchlist.lose()
            return
        met = watchlist.take(price, quote.t_in_ns)
        if not met:
            return
        desks = {alert.account_id: self._desk_of(alert.account_id) for alert in met}
        for alert in met:
            desk = desks[alert.account_id]
            now_ns = desk.now_ns()
            changes = {"state": AlertState.TRIGGERED, "updated_ns": now_ns, "triggered_ns": now_ns}
            alert = self._alerts[alert.id] = replace(alert, **changes, triggered_price=price)  # noqa: PLW2901
            desk.book.put_alert(alert, now_ns, is_met=True)
        for desk in desks.values():
            desk.commit()
        self._forget(exchange, symbol)

    async def create(self, principal: Principal, wanted: NewAlert) -> Alert:
        """Arm a new one; answered when it is durable. The same `request_id` of a key again makes none while there is
        the first. Raises OmsError."""
        desk = self._desk(principal, wanted.account_id)
        _check(wanted)
        exchange = wanted.exchange or desk.account.exchange
        made = self._made(principal, wanted, exchange)
        if made is not None:
            await desk.commit()  # it may be on its way still
            return self._alerts.get(made.id, made)
        await self._require_quotes(exchange, wanted.symbol)
        try:
            number = await alerts.next_id(self._pool)
        except UNAVAILABLE as error:
            text = "the order database is not available"
            raise OmsError("engine_unavailable", text, retry_after_ms=RETRY_MS) from error
        made = self._made(principal, wanted, exchange)  # meanwhile, by the same request
        if made is not None:
            await desk.commit()
            return self._alerts.get(made.id, made)
        self._require_room(principal.user_id, wanted.account_id)  # last, as others may have been made meanwhile
        now_ns = desk.now_ns()
        alert = Alert(
            id=number, account_id=wanted.account_id, user_id=principal.user_id, exchange=exchange,
            symbol=wanted.symbol, type=wanted.type, price=wanted.price, percent=wanted.percent,
            window_s=wanted.window_s, message=wanted.message, created_ns=now_ns, updated_ns=now_ns,
            api_key_id=principal.api_key_id, request_id=wanted.request_id,
        )  # fmt: skip
        self._count(alert, 1)
        self._remember(alert)
        await self._change(desk, alert)
        return self._alerts.get(number, alert)

    async def rearm(self, principal: Principal, number: int) -> Alert:
        """Wait for one anew; one that is armed stays so. Raises OmsError."""
        alert, desk = self._own(principal, number)
        if alert.state is not AlertState.ARMED:
            await self._change(desk, replace(alert, state=AlertState.ARMED, updated_ns=desk.now_ns()))
        return self._alerts.get(number, alert)

    async def delete(self, principal: Principal, number: int) -> Alert:
        """Wait for one no more, and forget it. Raises OmsError."""
        alert, desk = self._own(principal, number)
        alert = replace(alert, state=AlertState.DELETED, updated_ns=desk.now_ns())
        self._count(alert, -1)
        if alert.request_id is not None:
            self._requests.pop((alert.api_key_id, alert.request_id), None)
        await self._change(desk, alert)
        return alert

    def _remember(self, alert: Alert) -> None:
        if alert.request_id is not None:
            self._requests[alert.api_key_id, alert.request_id] = alert.id

    def _made(self, principal: Principal, wanted: NewAlert, exchange: str) -> Alert | None:
        """What the same request of the key has made. Raises OmsError where that was another."""
        if wanted.request_id is None:
            return None
        number = self._requests.get((principal.api_key_id, wanted.request_id))
        if number is None:
            return None
        alert = self._alerts[number]
        asked = replace(wanted, exchange=exchange)
        if any(getattr(alert, field) != getattr(asked, field) for field in asked.__struct_fields__):
            text = "request_id: this key has made another alert under it"
            raise OmsError("idempotency_conflict", text, details={"request_id": wanted.request_id})
        return alert

    async def _change(self, desk: Desk, alert: Alert) -> None:
        """Take it over, in memory at once; done when it is durable."""
        desk.book.put_alert(alert, alert.updated_ns)
        durable = desk.commit()
        if alert.state is AlertState.ARMED:
            self._alerts[alert.id] = alert
            self._arm(alert)
        else:
            del self._alerts[alert.id]
            place = alert.exchange, alert.symbol
            if place in self._lists:
                self._lists[place].remove(alert.id)
                self._forget(*place)
        await durable

    def _arm(self, alert: Alert) -> None:
        """Wait for it; the price that there is may meet it already."""
        place = alert.exchange, alert.symbol
        if place not in self._lists:
            self._lists[place] = Watchlist()
            self._market.watch(*place)
        self._lists[place].add(alert)
        quote = self._market.quote(*place)
        if quote is not None:
            self.on_quote(*place, quote)

    def _forget(self, exchange: str, symbol: str) -> None:
        """A market that nobody waits for."""
        watchlist = self._lists.get((exchange, symbol))
        if watchlist is not None and not watchlist:
            del self._lists[exchange, symbol]
            self._market.unwatch(exchange, symbol)

    def _desk(self, principal: Principal, account_id: int) -> Desk:
        """Of an account that the principal may see all of."""
        require_read(principal, account_id)
        if strategies_of(principal, account_id):
            text = "an alert is of the whole account, and this API key is for some of its strategies"
            raise OmsError("strategy_permission_denied", text, details={"account_id": account_id})
        return self._desk_of(account_id)

    def _own(self, principal: Principal, number: int) -> tuple[Alert, Desk]:
        alert = self._alerts.get(number)
        try:
            if alert is not None:
                desk = self._desk(principal, alert.account_id)
                if alert.user_id != principal.user_id and not principal.is_admin:
                    raise OmsError("permission_denied", "this alert is another user's", details={"alert_id": number})
                return alert, desk
        except OmsError as error:
            if error.code != "account_not_found":
                raise
        raise OmsError("alert_not_found", "there is no such alert", details={"alert_id": number})

    async def _require_quotes(self, exchange: str, symbol: str) -> None:
        """A rule on what has no price would wait for ever, and nobody would know."""
        if self._market.quote(exchange, symbol) is None:
            found = await self._market.fresh(exchange, symbol, QUOTE_S)
            if found is None:
                text = f"no quote of {symbol} at {exchange} came within {QUOTE_S:g} s: is there such a market?"
                raise OmsError("stale_market_data", text, details={"exchange": exchange, "symbol": symbol})

    def _require_room(self, user_id: int, account_id: int) -> None:
        limits = self._limits
        for what, count, count_max in (
            ("user", self._users[user_id], limits.per_user_max),
            ("account", self._accounts[account_id], limits.per_account_max),
        ):
            if count >= count_max:
                text = f"this {what} has as many alerts as it may have: delete some"
                raise OmsError("too_many_subscriptions", text, details={f"alerts_per_{what}_max": count_max})

    def _count(self, alert: Alert, by: int) -> None:
        self._users[alert.user_id] += by
        self._accounts[alert.account_id] += by


def price_of(quote: Quote) -> Decimal | None:
    """What rules are held against: the last price, or, where there is none, the middle of bid and ask."""
    price = quote.last
    if price is None and quote.bid is not None and quote.ask is not None:
        price = (quote.bid + quote.ask) / 2
    return price if price is not None and abs(price) < PRICE_MAX else None


def _check(wanted: NewAlert) -> None:
    """What belongs to a type, and what does not. Raises OmsError that names the field."""
    is_change = wanted.type is AlertType.PERCENT_CHANGE
    needed = ("percent", "window_s") if is_change else ("price",)
    for field in ("price", "percent", "window_s"):
        is_given = getattr(wanted, field) is not None
        if is_given != (field in needed):
            verb = "has no" if is_given else "needs"
            raise OmsError("validation_error", f"{field}: {wanted.type} {verb} {field}", details={"field": field})
    if wanted.percent is not None and not (wanted.percent > 0 or -100 <= wanted.percent < 0):
        raise OmsError("validation_error", "percent: from -100 on, and not 0", details={"field": "percent"})
