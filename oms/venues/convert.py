"""ccxt's dicts as the values of the venue contract, exactly.

Pure. ccxt is told to keep numbers as the texts that the exchange sent (`number: str`), so nothing here was ever a
float. What an answer leaves out is taken from the order it is about. Must not know a connection.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, Final

import msgspec

from oms.model import ZERO, Instrument, Order, OrderType, Side
from oms.venues.base import VenueOrder, VenueOrderStatus, VenuePosition, VenueTrade

Told = Mapping[str, Any]

MS_NS: Final = 1_000_000
TICK_SIZE: Final = 4  # ccxt's precisionMode in which a precision is the step itself
DECIMAL_PLACES: Final = 2  # .. and in which it counts digits
TAKE_PROFIT: Final = "take_profit"
OWN_TYPE_NAMES: Final = ("type", "o")  # of an order and of a report of Binance: ccxt has one word less for them
CLIENT_ID_NAMES: Final = ("clientOrderId", "clOrdId", "orderLinkId")
STATUSES: Final[dict[str, VenueOrderStatus]] = {
    "open": "open",
    "canceling": "open",
    "canceled": "canceled",
    "expired": "expired",
    "rejected": "rejected",
}


class UnclearError(ValueError):
    """ccxt said something that leaves open what it is about."""


def number(value: object) -> Decimal | None:
    """A number as ccxt gives it; None when there is none."""
    if value is None or value == "":
        return None
    try:
        exact = Decimal(str(value))
    except InvalidOperation:
        raise UnclearError(f"not a number: {value!r}") from None
    return exact if exact.is_finite() else None


def order(told: Told, asked: Order | None = None, client_order_id: str | None = None) -> VenueOrder:
    """An order; `asked` and `client_order_id` are what the request was about. Raises UnclearError."""
    exchange_order_id = told.get("id") or (asked.exchange_order_id if asked else None)
    qty = number(told.get("amount")) or (asked.remaining if asked else None)
    symbol = told.get("symbol") or (asked.symbol if asked else None)
    side = told.get("side") or (asked.side if asked else None)
    if not exchange_order_id or not symbol or not side or qty is None:
        raise UnclearError("an order without id, symbol, side or amount")
    kind = order_type(told, asked)
    filled = number(told.get("filled")) or ZERO
    return VenueOrder(
        exchange_order_id=str(exchange_order_id),
        client_order_id=client_id(told) or client_order_id,
        symbol=symbol,
        side=Side(side),
        order_type=kind,
        qty=qty,
        price=_price(told, asked) if kind.is_limited else None,
        trigger_price=_trigger_price(told, asked) if kind.is_triggered else None,
        status=status(told.get("status"), filled, qty),
        filled=filled,
        average_price=(number(told.get("average")) or None) if filled else None,
        created_ns=time_ns(told, "timestamp"),
        time_ns=time_ns(told, "lastUpdateTimestamp", "lastTradeTimestamp", "timestamp"),
        raw=told.get("info") or {},
    )


def client_id(told: Told) -> str | None:
    """The client id it was created with: Binance answers a cancel under the cancel's own."""
    info = told.get("info")
    original = info.get("origClientOrderId") if isinstance(info, dict) else None
    return original or told.get("clientOrderId") or None


def _price(told: Told, asked: Order | None) -> Decimal | None:
    return number(told.get("price")) or (asked.price if asked else None)


def _trigger_price(told: Told, asked: Order | None) -> Decimal | None:
    return number(told.get("triggerPrice")) or (asked.trigger_price if asked else None)


def order_type(told: Told, asked: Order | None = None) -> OrderType:
    """ccxt passes on words of the exchange that it has none of its own for, such as `stop_loss_limit`."""
    said = told.get("type")
    if not said:
        return asked.order_type if asked else OrderType.LIMIT
    takes_profit = TAKE_PROFIT in said or _own_type(told).startswith(TAKE_PROFIT)
    conditional = bool(number(told.get("triggerPrice"))) or takes_profit or "stop" in said
    limited = "limit" in said or (said == "stop" and bool(number(told.get("price"))))
    if conditional and takes_profit:
        return OrderType.TAKE_PROFIT_LIMIT if limited else OrderType.TAKE_PROFIT
    if conditional:
        return OrderType.STOP_LIMIT if limited else OrderType.STOP
    return OrderType.LIMIT if limited else OrderType.MARKET


def _own_type(told: Told) -> str:
    """The exchange's own word for the type of an order, in small letters."""
    info = told.get("info")
    words = (info.get(name) for name in OWN_TYPE_NAMES) if isinstance(info, dict) else ()
    return next((word.lower() for word in words if isinstance(word, str)), "")


def status(said: str | None, filled: Decimal, qty: Decimal) -> VenueOrderStatus:
    """`closed` is filled only when all of it is. An answer that does not say is that of a request that was taken."""
    if said == "closed":
        return "filled" if filled >= qty else "canceled"
    return STATUSES.get(said or "open", "open")


def time_ns(told: Told, *names: str) -> int:
    """The newest of these; 0 when the venue tells none."""
    return max((int(told[name]) for name in names if told.get(name) is not None), default=0) * MS_NS


def trade(told: Told) -> VenueTrade:
    """An execution of ours. Raises UnclearError."""
    qty, price = number(told.get("amount")), number(told.get("price"))
    if not told.get("order") or not told.get("symbol") or not told.get("side") or not qty or price is None:
        raise UnclearError("a trade without order, symbol, side, amount or price")
    fees = _fees(told)
    base = told["symbol"].partition("/")[0]
    currency = base if base in fees else next(iter(fees), None)
    fee = fees.pop(currency, ZERO)
    maker = told.get("takerOrMaker")
    return VenueTrade(
        exchange_trade_id=str(told["id"]) if told.get("id") else None,
        exchange_order_id=str(told["order"]),
        client_order_id=trade_client_id(told),
        symbol=told["symbol"],
        side=Side(told["side"]),
        qty=qty,
        price=price,
        fee=fee,
        fee_currency=currency,
        more_fees={name or "": cost for name, cost in fees.items()},
        maker=maker == "maker" if maker else None,
        time_ns=time_ns(told, "timestamp"),
    )


def counted(trades: Iterable[VenueTrade]) -> list[VenueTrade]:
    """Trades that were told together: those without an id that are alike are told apart by their number."""
    alike: Counter[tuple[object, ...]] = Counter()
    found = []
    for each in trades:
        if each.exchange_trade_id is None:
            key = each.exchange_order_id, each.side, each.qty, each.price, each.time_ns
            each = msgspec.structs.replace(each, nth=alike[key])  # noqa: PLW2901
            alike[key] += 1
        found.append(each)
    return found


def _fees(told: Told) -> dict[str | None, Decimal]:
    """What was paid in each currency, in the order told; None: the exchange names none."""
    sums: dict[str | None, Decimal] = {}
    for fee in told.get("fees") or [told.get("fee")]:
        if fee and (cost := number(fee.get("cost"))):
            sums[fee.get("currency")] = sums.get(fee.get("currency"), ZERO) + cost
    return sums


def trade_client_id(told: Told) -> str | None:
    """The client id of its order, where the exchange tells it; Binance's events call it c. ccxt has no name for it."""
    info = told.get("info")
    if not isinstance(info, dict):
        return None
    names = (*CLIENT_ID_NAMES, "c") if info.get("x") == "TRADE" else CLIENT_ID_NAMES
    return next((info[name] for name in names if info.get(name)), None)


def position(told: Told) -> VenuePosition:
    """A position in contracts. Raises UnclearError."""
    qty = number(told.get("contracts"))
    if not told.get("symbol") or qty is None or (qty and told.get("side") not in {"long", "short"}):
        raise UnclearError("a position without symbol, side or contracts")
    qty = abs(qty)
    entry_price = number(told.get("entryPrice"))
    return VenuePosition(
        symbol=told["symbol"],
        qty=-qty if told.get("side") == "short" else qty,
        entry_price=entry_price if qty else None,
    )


def balances(told: Told) -> dict[str, Decimal]:
    """What there is of each currency, free or not."""
    totals = {currency: number(total) for currency, total in (told.get("total") or {}).items()}
    return {currency: total for currency, total in totals.items() if total is not None}


def instrument(market: Told, precision_mode: int) -> Instrument:
    """What the OMS needs to know of a market."""
    limits, precision = market.get("limits") or {}, market.get("precision") or {}
    return Instrument(
        symbol=market["symbol"],
        base=market["base"],
        quote=market["quote"],
        contract_size=number(market.get("contractSize")) or Decimal(1),
        inverse=bool(market.get("inverse")),
        spot=bool(market.get("spot")),
        price_step=step(precision.get("price"), precision_mode),
        qty_step=step(precision.get("amount"), precision_mode),
        price_min=_limit(limits, "price", "min"),
        price_max=_limit(limits, "price", "max"),
        qty_min=_limit(limits, "amount", "min"),
        qty_max=_limit(limits, "amount", "max"),
        market_qty_max=_limit(limits, "market", "max"),
        notional_min=_limit(limits, "cost", "min"),
        notional_max=_limit(limits, "cost", "max"),
    )


def step(precision: object, mode: int) -> Decimal:
    """The step that a precision means; 0 when there is none to hold a number against."""
    value = number(precision)
    if value is None or mode not in {TICK_SIZE, DECIMAL_PLACES}:
        return ZERO
    return value if mode == TICK_SIZE else Decimal(1).scaleb(-int(value))


def _limit(limits: Told, name: str, end: str) -> Decimal:
    return number((limits.get(name) or {}).get(end)) or ZERO
