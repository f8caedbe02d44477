"""What an order must look like: the reading of its parameters, and the filters of its market, in Binance's words.

Pure functions. Knows no account and no book.
"""

import re
import secrets
from collections.abc import Mapping
from typing import TypeVar

from loadtest.exchange.decimals import DIGITS, ONE, parse, show
from loadtest.exchange.market import Spec
from loadtest.exchange.orders import Request, TimeInForce, Type
from loadtest.exchange.params import BinanceError, illegal, missing
from loadtest.exchange.reports import STP_MODE

Query = Mapping[str, str]
Choice = TypeVar("Choice", Type, TimeInForce)
PRICE_MAX = 1_000_000 * ONE
QTY_MAX = 9_000_000 * ONE
NOTIONAL_MIN = 5 * ONE
NOTIONAL_MAX = 9_000_000 * ONE
_DECIMAL = re.compile(r"[0-9]{1,20}(\.[0-9]{1,20})?")
_DECIMAL_RULE = "^([0-9]{1,20})(\\.[0-9]{1,20})?$"
_CLIENT_ID = re.compile(r"[.A-Z:/a-z0-9_-]{1,36}")
_CLIENT_ID_RULE = "^[\\.A-Z\\:/a-z0-9_-]{1,36}$"
_PRICED = {Type.LIMIT, Type.LIMIT_MAKER, Type.STOP_LOSS_LIMIT, Type.TAKE_PROFIT_LIMIT}
_TIMED = _PRICED - {Type.LIMIT_MAKER}
_UNSUPPORTED = ("icebergQty", "trailingDelta")


def listing(spec: Spec) -> list[dict[str, object]]:
    """The filters as exchangeInfo tells them."""
    return [
        {
            "filterType": "PRICE_FILTER",
            "minPrice": show(spec.tick),
            "maxPrice": show(PRICE_MAX),
            "tickSize": show(spec.tick),
        },
        {"filterType": "LOT_SIZE", "minQty": show(spec.step), "maxQty": show(QTY_MAX), "stepSize": show(spec.step)},
        {
            "filterType": "NOTIONAL",
            "minNotional": show(NOTIONAL_MIN),
            "applyMinToMarket": True,
            "maxNotional": show(NOTIONAL_MAX),
            "applyMaxToMarket": False,
            "avgPriceMins": 5,
        },
    ]


def decimal(query: Query, name: str) -> int | None:
    """A positive number as units of 1e-8; None when it was not sent."""
    text = query.get(name)
    if text is None:
        return None
    if not _DECIMAL.fullmatch(text):
        raise illegal(name, _DECIMAL_RULE)
    whole, _, fraction = text.partition(".")
    fraction = fraction.rstrip("0")
    if len(fraction) > DIGITS:
        raise BinanceError(-1111, f"Parameter '{name}' has too much precision.")
    value = parse(f"{whole}.{fraction}")
    if not value:
        raise BinanceError(-1013, f"Invalid {name}.")
    return value


def client_id(query: Query, name: str) -> str:
    """The id a user gives, or one made for him."""
    text = query.get(name)
    if text is None:
        return secrets.token_urlsafe(16)
    if not _CLIENT_ID.fullmatch(text):
        raise illegal(name, _CLIENT_ID_RULE)
    return text


def _choice(query: Query, name: str, kind: type[Choice], error: BinanceError) -> Choice:
    text = query.get(name)
    if not text:
        raise missing(name)
    try:
        return kind(text)
    except ValueError:
        raise error from None


def _side(query: Query) -> bool:
    """Whether it is a buy."""
    side = query.get("side")
    if not side:
        raise missing("side")
    if side not in ("BUY", "SELL"):
        raise BinanceError(-1117, "Invalid side.")
    return side == "BUY"


def read(query: Query) -> Request:
    """The order a user asks for, each parameter for its type sent and no other."""
    buy = _side(query)
    kind = _choice(query, "type", Type, BinanceError(-1116, "Invalid orderType."))
    numbers = {name: decimal(query, name) for name in ("quantity", "quoteOrderQty", "price", "stopPrice")}
    by_cost = kind is Type.MARKET and numbers["quantity"] is None
    wanted = {
        "quantity": not by_cost,
        "quoteOrderQty": by_cost,
        "price": kind in _PRICED,
        "stopPrice": kind.is_conditional,
    }
    for name, is_wanted in wanted.items():
        if is_wanted and numbers[name] is None:
            raise missing("quantity" if by_cost else name)
        if not is_wanted and numbers[name] is not None:
            raise BinanceError(-1106, f"Parameter '{name}' sent when not required.")
    unread = [*_UNSUPPORTED, *(() if kind in _TIMED else ("timeInForce",))]
    for name in unread:
        if name in query:
            raise BinanceError(-1106, f"Parameter '{name}' sent when not required.")
    if query.get("selfTradePreventionMode", STP_MODE) != STP_MODE:
        raise BinanceError(-2010, "This symbol does not allow the specified self-trade prevention mode.")
    time_in_force = TimeInForce.GTC
    if kind in _TIMED:
        time_in_force = _choice(query, "timeInForce", TimeInForce, BinanceError(-1115, "Invalid timeInForce."))
    return Request(
        client_id(query, "newClientOrderId"),
        buy,
        kind,
        time_in_force,
        numbers["quantity"] or 0,
        numbers["price"] or 0,
        numbers["stopPrice"] or 0,
        numbers["quoteOrderQty"] or 0,
    )


def check(spec: Spec, request: Request, market_price: int) -> None:
    """Hold an order against the filters; `market_price` values an order that names no price."""
    for price in (request.price, request.stop_price):
        if price and (price % spec.tick or not spec.tick <= price <= PRICE_MAX):
            raise _failed("PRICE_FILTER")
    if request.qty and (request.qty % spec.step or not spec.step <= request.qty <= QTY_MAX):
        raise _failed("LOT_SIZE")
    value = request.quote_qty or (request.price or request.stop_price or market_price) * request.qty // ONE
    if value < NOTIONAL_MIN or (request.price and value > NOTIONAL_MAX):
        raise _failed("NOTIONAL")


def _failed(name: str) -> BinanceError:
    return BinanceError(-1013, f"Filter failure: {name}")
