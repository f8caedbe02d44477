"""A venue that ccxt speaks with: each request of the contract in ccxt's words, and what it says back in ours.

Must not know the desk, a database, nor how an answer is read (`convert`) or a failure judged (`errors`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from decimal import Decimal
from typing import Any, Final, TypeVar

import structlog
from ccxt.base import errors as ccxt_errors
from msgspec.structs import replace

from oms.errors import OmsError
from oms.model import Instrument, Order
from oms.venues import binance, checking, client, convert, errors, paging, requests
from oms.venues.balances import Balances
from oms.venues.base import (
    Ambiguous,
    Listener,
    OnTurn,
    Refused,
    VenueOrder,
    VenuePosition,
    VenueTrade,
    at_any_time,
)
from oms.venues.beside import Beside
from oms.venues.client import SENDING
from oms.venues.config import VenueConfig
from oms.venues.convert import MS_NS, UnclearError
from oms.venues.errors import Sending
from oms.venues.requests import Create
from oms.venues.stream import PrivateStream

log = structlog.get_logger(__name__)

T = TypeVar("T")
SPOT_TYPES: Final = frozenset({"spot", "margin", None})
UNNAMED: Final = "unnamed"  # an order that is checked before it is given its name


class CcxtVenue:
    """The orders of one account at one exchange."""

    def __init__(self, config: VenueConfig) -> None:
        """Raises OmsError `unsupported_engine` for an exchange whose orders ccxt cannot watch."""
        self._config = config
        self._exchange = client.build(config)
        self._on_binance = config.klass == binance.KLASS
        self._on_spot = self._exchange.options.get("defaultType") in SPOT_TYPES
        # Elsewhere an order is amended: it keeps its id, which is not what `replace` promises.
        self.can_replace = self._on_binance and self._on_spot
        self._beside = Beside(config)
        self._stream: PrivateStream | None = None
        self._instruments: dict[str, Instrument] = {}
        self._allowed = config.order_params | (binance.PARAMS if self.can_replace else frozenset())
        self._rehearsed: set[tuple[object, ...]] = set()  # kinds of orders that ccxt makes a request of

    def __repr__(self) -> str:
        return f"CcxtVenue({self._config.klass}, {self._config.environment.value})"

    # Its life

    async def start(self, listener: Listener) -> None:
        """Raises Refused or Ambiguous, and may be called again then."""
        stream = PrivateStream(self._exchange, self._begin(listener), listener.on_stream, self._describe)
        await self._read(self._exchange.load_markets)
        try:
            await stream.start()
        except Exception as error:
            raise self._scrubbed(errors.of_read(error, Sending())) from None
        self._stream = stream

    async def close(self) -> None:
        if self._stream is not None:
            await self._stream.close()
            self._stream = None
        await self._beside.close()
        await self._exchange.close()

    def _begin(self, listener: Listener) -> Callable[[], Awaitable[None]]:
        def on_order(told: Mapping[str, Any]) -> None:
            if (order := self._heard(convert.order, told)) is not None:
                listener.on_order(order)

        def on_trade(told: Mapping[str, Any]) -> None:
            if (trade := self._heard(convert.trade, told)) is not None:
                listener.on_trade(trade)

        async def begin() -> None:
            self._exchange.listen(on_order, on_trade)
            if self._on_binance and self._on_spot:
                await self._exchange.authenticate(dict(binance.STREAM))

        return begin

    def _heard(self, read: Callable[[Mapping[str, Any]], T], told: Mapping[str, Any]) -> T | None:
        """What cannot be understood is found by reconciling: the stream has more to tell."""
        try:
            return read(told)
        except UnclearError as error:
            log.warning("update of a venue is unclear", venue=self._config.klass, id=told.get("id"), error=str(error))
            return None

    # What it trades

    def instrument(self, symbol: str) -> Instrument:
        known = self._instruments.get(symbol)
        if known is None:
            market = (self._exchange.markets or {}).get(symbol)
            if market is None:
                raise OmsError("unknown_symbol", f"{self._config.klass} trades no {symbol!r}")
            known = self._instruments[symbol] = convert.instrument(market, self._exchange.precisionMode)
        return known

    def _is_contract(self, symbol: str) -> bool:
        """Raises Refused."""
        try:
            return not self.instrument(symbol).spot
        except OmsError as error:
            raise Refused(error.code, error.message, error.details) from None

    def check(self, order: Order) -> None:
        instrument = self.instrument(order.symbol)
        contract = not instrument.spot
        if self.can_replace and contract:
            raise OmsError("unsupported_action", f"symbol: this account trades on spot markets, not {order.symbol}")
        checking.params(order, self._allowed)
        checking.kind(self._exchange, order)
        name, qty = order.client_order_id or UNNAMED, order.remaining
        wanted = requests.create(order, name, contract=contract, qty=qty, price=order.price)
        kind = order.symbol, order.order_type, order.side, order.time_in_force, order.post_only, order.reduce_only
        try:
            if not (instrument.qty_step and instrument.price_step):  # else everybody can hold it against them
                checking.steps(self._exchange, wanted)
            if order.params or kind not in self._rehearsed:
                own = requests.create(replace(order, params={}), name, contract=contract, qty=qty, price=order.price)
                checking.request(self._exchange, wanted, own, order.params)
        except OmsError:
            raise
        except Exception as error:
            refused = self._scrubbed(errors.of_write(error, Sending()))
        else:
            self._rehearsed.add(kind)
            return
        if not isinstance(refused, Refused):
            raise OmsError("exchange_error", refused.message)
        raise OmsError(refused.code, refused.message, details=refused.details)

    def _check_again(self, order: Order) -> None:
        """It may have been committed when other params were allowed. Raises Refused."""
        try:
            self.check(order)
        except OmsError as error:
            raise Refused(error.code, error.message, error.details) from None

    # What changes something

    async def place(self, order: Order, venue_client_id: str, on_turn: OnTurn = at_any_time) -> VenueOrder:
        return await self._create(order, venue_client_id, order.remaining, order.price, None, on_turn)

    async def replace(
        self, order: Order, price: Decimal | None, qty: Decimal, venue_client_id: str, on_turn: OnTurn = at_any_time
    ) -> VenueOrder:
        if order.exchange_order_id is None or order.filled or not self.can_replace:
            raise Refused("unsupported_action", f"{self._config.klass} cannot replace this order")
        return await self._create(order, venue_client_id, qty, price, order.exchange_order_id, on_turn)

    async def _create(
        self,
        order: Order,
        client_order_id: str,
        qty: Decimal,
        price: Decimal | None,
        replaced_id: str | None,
        on_turn: OnTurn,
    ) -> VenueOrder:
        contract = self._is_contract(order.symbol)
        if order.params:
            self._check_again(order)
        request = requests.create(order, client_order_id, contract=contract, qty=qty, price=price)

        async def create() -> VenueOrder:
            checking.steps(self._exchange, request)
            if replaced_id is None:
                told = await self._exchange.create_order(*request.arguments, request.params)
            else:
                told = await self._replace(replaced_id, binance.replacing(request))
            return convert.order(told, order, client_order_id)

        return await self._ask(create, errors.of_write, on_turn)

    async def _replace(self, replaced_id: str, asked: Create) -> Any:
        try:
            return await self._exchange.edit_order(replaced_id, *asked.arguments, asked.params)
        except ccxt_errors.BaseError:
            sending = SENDING.get()
            why = binance.why_not_replaced(sending.body) if sending is not None and sending.status else None
            if why is None:
                raise
        text = self._exchange.json(why)
        self._exchange.handle_errors(400, "", self._exchange.urls["api"]["private"], "POST", {}, text, why, {}, {})
        raise ccxt_errors.ExchangeError(text)

    async def cancel(self, order: Order) -> VenueOrder | None:
        *others, last = self._keepers(order)
        for is_trigger in others:
            try:
                return await self._cancel(order, is_trigger)
            except Refused as error:
                if error.code != "order_not_found":
                    raise
        return await self._cancel(order, last)

    async def _cancel(self, order: Order, is_trigger: bool) -> VenueOrder | None:
        async def cancel() -> VenueOrder | None:
            params = _named(order.exchange_order_id, order.client_order_id, is_trigger)
            told = await self._exchange.cancel_order(order.exchange_order_id or "", order.symbol, params)
            says_more = isinstance(told, dict) and told.get("status")
            return convert.order(told, order) if says_more else None

        return await self._write(cancel)

    def _keepers(self, order: Order) -> tuple[bool, ...]:
        """Whether it is kept among those that wait for a trigger, as it is likely to be: exchanges of contracts may
        keep these apart, and that it is there no more, nobody is told before it is filled. Raises Refused."""
        if order.trigger_price is None or not self._is_contract(order.symbol):
            return (False,)
        return (order.waits,) if order.exchange_order_id is None else (order.waits, not order.waits)

    # What is asked

    async def find(self, order: Order) -> VenueOrder | None:
        for is_trigger in self._keepers(order):
            found = await self._find(order.symbol, order.exchange_order_id, order.client_order_id, is_trigger)
            if found is not None:
                return found
        return None

    async def lookup(
        self, symbol: str, *, exchange_order_id: str | None = None, client_order_id: str | None = None
    ) -> VenueOrder | None:
        return await self._find(symbol, exchange_order_id, client_order_id, is_trigger=False)

    async def _find(
        self, symbol: str, exchange_order_id: str | None, client_order_id: str | None, is_trigger: bool
    ) -> VenueOrder | None:
        params = _named(exchange_order_id, client_order_id, is_trigger)

        async def find() -> VenueOrder:
            return convert.order(await self._exchange.fetch_order(exchange_order_id or "", symbol, params))

        try:
            return await self._read(find)
        except Refused as error:
            if error.code == "order_not_found":
                return None
            raise

    async def open_orders(self, symbol: str | None) -> list[VenueOrder]:
        async def ask() -> list[VenueOrder]:
            return [convert.order(told) for told in await self._exchange.fetch_open_orders(symbol)]

        return await self._read(ask)

    async def trades(self, symbol: str, since_ns: int) -> list[VenueTrade]:
        since_ms = since_ns // MS_NS
        rows = binance.PAGE_ROWS if self._on_binance else None

        async def page(since: int | None, params: dict[str, Any]) -> list[dict[str, Any]]:
            return list(await self._exchange.fetch_my_trades(symbol, since, rows, params))

        async def ask() -> list[VenueTrade]:
            if rows is not None:
                now_ms = self._exchange.milliseconds()
                told = await paging.by_id(page, since_ms, now_ms, window_ms=binance.WINDOW_MS, page_rows=rows)
            else:
                told = await paging.by_time(page, since_ms)
            return sorted(convert.counted(convert.trade(each) for each in told), key=_in_order)

        return await self._read(ask)

    async def balances(self) -> Mapping[str, Decimal]:
        async def ask() -> dict[str, Decimal]:
            return convert.balances(await self._exchange.fetch_balance())

        return await self._read(ask)

    async def positions(self) -> list[VenuePosition]:
        """None on spot markets: what is held there is in the balances."""
        if self._on_spot:
            return []

        async def ask() -> list[VenuePosition]:
            return [convert.position(told) for told in await self._exchange.fetch_positions()]

        return await self._read(ask)

    async def call(self, func: str, arguments: Mapping[str, Any], *, public: bool) -> bytes:
        return await self._beside.call(func, arguments, public=public)

    def inspect(self) -> Balances:
        return Balances(self._beside, self._config.currency)

    # How it is asked

    async def _write(self, call: Callable[[], Awaitable[T]]) -> T:
        return await self._ask(call, errors.of_write)

    async def _read(self, call: Callable[[], Awaitable[T]]) -> T:
        return await self._ask(call, errors.of_read)

    async def _ask(
        self,
        call: Callable[[], Awaitable[T]],
        judge: Callable[[Exception, Sending], Refused | Ambiguous],
        on_turn: OnTurn = at_any_time,
    ) -> T:
        sending = Sending(on_turn)
        token = SENDING.set(sending)
        try:
            return await call()
        except Refused:  # by `on_turn`
            raise
        except Exception as error:
            outcome = judge(error, sending)
        finally:
            SENDING.reset(token)
        # Not chained: ccxt's error holds URLs with their signatures, and headers are not far.
        raise self._scrubbed(outcome)

    def _scrubbed(self, outcome: Refused | Ambiguous) -> Refused | Ambiguous:
        text = self._config.scrub(outcome.message)
        return Refused(outcome.code, text, outcome.details) if isinstance(outcome, Refused) else Ambiguous(text)

    def _describe(self, error: Exception) -> str:
        return self._config.scrub(errors.describe(error))


def _named(exchange_order_id: str | None, client_order_id: str | None, is_trigger: bool) -> dict[str, Any]:
    """Parameters that say which order, when its id at the exchange does not."""
    named = {} if exchange_order_id is not None else {"clientOrderId": client_order_id}
    return {**named, "trigger": True} if is_trigger else named


def _in_order(trade: VenueTrade) -> tuple[int, int]:
    """ccxt sorts those of one millisecond by the text of their ids: 10 before 9."""
    number = trade.exchange_trade_id or ""
    return trade.time_ns, int(number) if number.isdecimal() else 0
