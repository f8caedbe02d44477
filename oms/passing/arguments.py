"""Arguments of ccxt's functions, each checked by the name of its parameter: the same name means the same everywhere.

Pure: a decoded value of JSON in, the value to call with out, or a refusal that names the argument. Must not know a
function.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Final

import msgspec

from oms.commands import INTEGERS, PARAMS_BYTES_MAX, money
from oms.errors import OmsError

TEXT_CHARS_MAX: Final = 128
SYMBOLS_MAX: Final = 500  # in one call
IDS_MAX: Final = 200
ORDERS_MAX: Final = 100
ROWS_MAX: Final = 5_000  # of an answer: a greater `limit` is this one
PAGES_MAX: Final = 10  # .. and ccxt's own paging make of one call
TIME_MS_MAX: Final = 253_402_300_799_999  # the end of the year 9999
DEPTH_MAX: Final = 8  # of params
LEVERAGE_MAX: Final = 1_000
TIMEFRAME: Final = re.compile(r"\d{1,4}[smhdwMy]")

# Parameters that would make another request of it than the function says, or repeat it.
NEVER_IN_PARAMS: Final = frozenset({
    "method", "apiKey", "signature", "timestamp", "recvWindow", "maxRetriesOnFailure", "maxRetriesOnFailureDelay",
    "maxEntriesPerRequest", "subAccountId", "subAccount", "subAccountName", "subaccountId", "subUid", "email",
})  # fmt: skip


def bad(name: str, message: str, exception: str = "BadRequest") -> OmsError:
    """The refusal of an argument; `exception` is the class of ccxt's that a program would have caught."""
    return OmsError("validation_error", f"{name}: {message}", details={"field": name, "exception": exception})


def _text(name: str, value: object) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= TEXT_CHARS_MAX or not value.isprintable():
        raise bad(name, f"a text of 1 to {TEXT_CHARS_MAX} characters")
    return value


def _texts(name: str, value: object) -> list[str]:
    if not isinstance(value, list) or len(value) > SYMBOLS_MAX:
        raise bad(name, f"an array of at most {SYMBOLS_MAX} texts")
    return [_text(name, each) for each in value]


def whole(name: str, value: object, least: int, most: int) -> int:
    """ccxt programs compute times with `/ 1000 * 1000`: a float that is whole will do."""
    if isinstance(value, Decimal) and value == value.to_integral_value() and abs(value) <= most:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise bad(name, f"an integer from {least} to {most}")
    return value


def _since(name: str, value: object) -> int:
    return whole(name, value, 0, TIME_MS_MAX)


def _limit(name: str, value: object) -> int:
    """More than we ask of an exchange at once is no mistake: programs ask for all there is."""
    return min(whole(name, value, 1, TIME_MS_MAX), ROWS_MAX)


def _leverage(name: str, value: object) -> float:
    """Exchanges have whole ones, most of them; programs compute with floats."""
    if isinstance(value, bool) or not isinstance(value, int | Decimal) or not 0 < value <= LEVERAGE_MAX:
        raise bad(name, f"a number above 0, at most {LEVERAGE_MAX}")
    return int(value) if value == int(value) else float(value)


def _timeframe(name: str, value: object) -> str:
    if not isinstance(value, str) or not TIMEFRAME.fullmatch(value):
        raise bad(name, "such as 1m, 4h or 1d")
    return value


def _flag(name: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise bad(name, "true or false")
    return value


def _id(name: str, value: object) -> str:
    """Some programs have them as numbers."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else _text(name, value)


def _params(name: str, value: object) -> dict[str, Any]:
    """What is said beside the arguments. Numbers keep their digits."""
    if not isinstance(value, dict):
        raise bad(name, "an object")
    if never := sorted(NEVER_IN_PARAMS & value.keys()):
        raise bad(name, f"{', '.join(never)} cannot be given there")
    if "paginationCalls" in value:
        whole(f"{name}.paginationCalls", value["paginationCalls"], 1, PAGES_MAX)
    size = len(msgspec.json.encode(floats(value)))
    if size > PARAMS_BYTES_MAX:
        raise bad(name, f"{size} bytes of JSON, at most {PARAMS_BYTES_MAX}")
    return value


def _floats(name: str, value: object, depth: int) -> object:
    if depth > DEPTH_MAX:
        raise bad(name, "nested too deep")
    if isinstance(value, dict):
        return {key: _floats(name, item, depth + 1) for key, item in value.items()}
    if isinstance(value, list):
        return [_floats(name, item, depth + 1) for item in value]
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, int) and value not in INTEGERS:
        raise bad(name, "an integer of more than 64 bits")
    return value


def _side(name: str, value: object) -> str:
    if not isinstance(value, str) or value.lower() not in {"buy", "sell", "long", "short"}:
        raise bad(name, "buy or sell", "InvalidOrder")
    return value.lower()


def _type(name: str, value: object) -> str:
    if not isinstance(value, str) or value.lower() not in {"market", "limit"}:
        raise bad(name, "market or limit; an order with a triggerPrice is one of these too", "InvalidOrder")
    return value.lower()


def _number(name: str, value: object) -> Decimal:
    """An amount or a price, as a number or a text."""
    try:
        return money(name, value)
    except OmsError as error:
        raise bad(name, error.message.removeprefix(f"{name}: "), "InvalidOrder") from None


def _ids(name: str, value: object) -> list[str]:
    if not isinstance(value, list) or not 0 < len(value) <= IDS_MAX:
        raise bad(name, f"an array of 1 to {IDS_MAX} ids")
    return [_id(name, each) for each in value]


def _orders(name: str, value: object) -> list[dict[str, Any]]:
    """What is in each is looked at where it is understood."""
    if not isinstance(value, list) or not 0 < len(value) <= ORDERS_MAX:
        raise bad(name, f"an array of 1 to {ORDERS_MAX} orders")
    if not all(isinstance(each, dict) for each in value):
        raise bad(name, "each is an object")
    return value


def _timeout(name: str, value: object) -> int:
    return whole(name, value, 0, 24 * 3_600_000)


CHECKS: Final[Mapping[str, Callable[[str, object], Any]]] = {
    "symbol": _text, "symbols": _texts, "code": _text, "codes": _texts, "since": _since, "limit": _limit,
    "timeframe": _timeframe, "reload": _flag, "id": _id, "ids": _ids, "clientOrderId": _id, "clientOrderIds": _ids,
    "orders": _orders, "type": _type, "side": _side, "amount": _number, "price": _number, "triggerPrice": _number,
    "stopLossPrice": _number, "takeProfitPrice": _number, "takeProfit": _number, "stopLoss": _number,
    "timeout": _timeout, "params": _params, "leverage": _leverage, "marginMode": _text, "hedged": _flag,
}  # fmt: skip


def floats(params: Mapping[str, Any]) -> dict[str, Any]:
    """Params with numbers as ccxt has them."""
    plain = _floats("params", params, 0)
    assert isinstance(plain, dict)
    return plain
