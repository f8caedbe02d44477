"""The unified functions of ccxt that may be called for an account: with which permission, and with which arguments.

A list of what may be; what is not on it may not. Pure: names and decoded JSON in, a checked call out, or a refusal that
names the argument. Must not know an exchange, nor who asks.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final

import msgspec

from oms.commands import INTEGERS, PARAMS_BYTES_MAX
from oms.errors import OmsError

TEXT_CHARS_MAX: Final = 128
SYMBOLS_MAX: Final = 500  # in one call
IDS_MAX: Final = 200
ORDERS_MAX: Final = 100
ROWS_MAX: Final = 5_000  # that a call may ask for by `limit`
PAGES_MAX: Final = 10  # .. and ccxt's own paging make of one call
TIME_MS_MAX: Final = 2**53 - 1
DEPTH_MAX: Final = 8  # of params
TIMEFRAME: Final = re.compile(r"\d{1,4}[smhdwMy]")

# Parameters that would make another request of it than the function says, or repeat it.
NEVER_IN_PARAMS: Final = frozenset({
    "method", "apiKey", "signature", "timestamp", "recvWindow", "maxRetriesOnFailure", "maxRetriesOnFailureDelay",
    "maxEntriesPerRequest", "subAccountId", "subAccount", "subAccountName", "subaccountId", "subUid", "email",
})  # fmt: skip


class Access(StrEnum):
    """What is needed to call."""

    PUBLIC = "public"  # of the market, the same for everybody
    READ = "read"  # of the account
    TRADE = "trade"  # changes something: it becomes a command of the OMS


class Answerer(StrEnum):
    """Who knows."""

    EXCHANGE = "exchange"
    OMS = "oms"


class Parameter(msgspec.Struct, frozen=True):
    """One of a function. `default` is what stands for it when it is not given."""

    name: str
    required: bool
    default: Any = None


class Function(msgspec.Struct, frozen=True, kw_only=True):
    """One that may be called; `params` is the last parameter of each."""

    name: str
    access: Access
    answerer: Answerer
    parameters: tuple[Parameter, ...]


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """A call that is understood: an argument for each parameter, in their order."""

    function: Function
    arguments: Mapping[str, Any]

    @property
    def name(self) -> str:
        return self.function.name


# Of the market. `?`: may be left out; `=`: what stands for it then.
_PUBLIC: Final = (
    "describe()", "load_markets(reload?)", "fetch_markets()", "fetch_currencies()", "fetch_status()", "fetch_time()",
    "fetch_ticker(symbol)", "fetch_tickers(symbols?)", "fetch_bids_asks(symbols?)", "fetch_last_prices(symbols?)",
    "fetch_mark_price(symbol)", "fetch_mark_prices(symbols?)",
    "fetch_order_book(symbol, limit?)", "fetch_order_books(symbols?, limit?)",
    "fetch_l2_order_book(symbol, limit?)", "fetch_l3_order_book(symbol, limit?)",
    "fetch_trades(symbol, since?, limit?)", "fetch_ohlcv(symbol, timeframe=1m, since?, limit?)",
    "fetch_mark_ohlcv(symbol, timeframe=1m, since?, limit?)", "fetch_index_ohlcv(symbol, timeframe=1m, since?, limit?)",
    "fetch_premium_index_ohlcv(symbol, timeframe=1m, since?, limit?)",
    "fetch_funding_rate(symbol)", "fetch_funding_rates(symbols?)",
    "fetch_funding_rate_history(symbol?, since?, limit?)",
    "fetch_funding_interval(symbol)", "fetch_funding_intervals(symbols?)",
    "fetch_open_interest(symbol)", "fetch_open_interests(symbols?)",
    "fetch_open_interest_history(symbol, timeframe=1h, since?, limit?)", "fetch_liquidations(symbol, since?, limit?)",
    "fetch_long_short_ratio(symbol, timeframe?)", "fetch_long_short_ratio_history(symbol?, timeframe?, since?, limit?)",
    "fetch_greeks(symbol)", "fetch_all_greeks(symbols?)", "fetch_option(symbol)", "fetch_option_chain(code)",
)  # fmt: skip
# Of the account, as its exchange tells it.
_READ: Final = (
    "fetch_balance()", "fetch_free_balance()", "fetch_used_balance()", "fetch_total_balance()",
    "fetch_trading_fee(symbol)", "fetch_trading_fees()", "fetch_trading_limits(symbols?)",
    "fetch_leverage(symbol)", "fetch_leverages(symbols?)", "fetch_margin_mode(symbol)", "fetch_margin_modes(symbols?)",
    "fetch_position_mode(symbol?)", "fetch_leverage_tiers(symbols?)", "fetch_market_leverage_tiers(symbol)",
    "fetch_funding_history(symbol?, since?, limit?)", "fetch_my_liquidations(symbol?, since?, limit?)",
    "fetch_borrow_interest(code?, symbol?, since?, limit?)",
    "fetch_cross_borrow_rate(code)", "fetch_cross_borrow_rates()",
    "fetch_isolated_borrow_rate(symbol)", "fetch_isolated_borrow_rates()",
    "fetch_ledger(code?, since?, limit?)", "fetch_ledger_entry(id, code?)",
    "fetch_deposits(code?, since?, limit?)", "fetch_withdrawals(code?, since?, limit?)",
    "fetch_deposits_withdrawals(code?, since?, limit?)", "fetch_transfers(code?, since?, limit?)",
    "fetch_deposit_withdraw_fee(code)", "fetch_deposit_withdraw_fees(codes?)",
)  # fmt: skip


def _bad(name: str, message: str, exception: str = "BadRequest") -> OmsError:
    return OmsError("validation_error", f"{name}: {message}", details={"field": name, "exception": exception})


def _text(name: str, value: object) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= TEXT_CHARS_MAX or not value.isprintable():
        raise _bad(name, f"a text of 1 to {TEXT_CHARS_MAX} characters")
    return value


def _texts(name: str, value: object) -> list[str]:
    if not isinstance(value, list) or len(value) > SYMBOLS_MAX:
        raise _bad(name, f"an array of at most {SYMBOLS_MAX} texts")
    return [_text(name, each) for each in value]


def _whole(name: str, value: object, least: int, most: int) -> int:
    """ccxt programs compute times with `/ 1000 * 1000`: a float that is whole will do."""
    if isinstance(value, Decimal) and value == value.to_integral_value() and abs(value) <= most:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise _bad(name, f"an integer from {least} to {most}")
    return value


def _since(name: str, value: object) -> int:
    return _whole(name, value, 0, TIME_MS_MAX)


def _limit(name: str, value: object) -> int:
    return _whole(name, value, 1, ROWS_MAX)


def _timeframe(name: str, value: object) -> str:
    if not isinstance(value, str) or not TIMEFRAME.fullmatch(value):
        raise _bad(name, "such as 1m, 4h or 1d")
    return value


def _flag(name: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise _bad(name, "true or false")
    return value


def _id(name: str, value: object) -> str:
    """Some programs have them as numbers."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else _text(name, value)


def _params(name: str, value: object) -> dict[str, Any]:
    """What is handed to the exchange beside the arguments, with floats as ccxt has them."""
    if not isinstance(value, dict):
        raise _bad(name, "an object")
    if never := sorted(NEVER_IN_PARAMS & value.keys()):
        raise _bad(name, f"{', '.join(never)} cannot be given there")
    if "paginationCalls" in value:
        _whole(f"{name}.paginationCalls", value["paginationCalls"], 1, PAGES_MAX)
    plain = _floats(name, value, 0)
    assert isinstance(plain, dict)
    size = len(msgspec.json.encode(plain))
    if size > PARAMS_BYTES_MAX:
        raise _bad(name, f"{size} bytes of JSON, at most {PARAMS_BYTES_MAX}")
    return plain


def _floats(name: str, value: object, depth: int) -> object:
    if depth > DEPTH_MAX:
        raise _bad(name, "nested too deep")
    if isinstance(value, dict):
        return {key: _floats(name, item, depth + 1) for key, item in value.items()}
    if isinstance(value, list):
        return [_floats(name, item, depth + 1) for item in value]
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, int) and value not in INTEGERS:
        raise _bad(name, "an integer of more than 64 bits")
    return value


# By the name of a parameter: the same name means the same everywhere in ccxt.
_CHECKS: Final[Mapping[str, Callable[[str, object], Any]]] = {
    "symbol": _text, "symbols": _texts, "code": _text, "codes": _texts, "since": _since, "limit": _limit,
    "timeframe": _timeframe, "reload": _flag, "id": _id, "params": _params,
}  # fmt: skip


def _function(text: str, access: Access, answerer: Answerer) -> Function:
    name, _, rest = text.removesuffix(")").partition("(")
    parameters = []
    for part in filter(None, rest.split(", ")):
        word, has_default, default = part.partition("=")
        optional = word.endswith("?") or bool(has_default)
        parameters.append(Parameter(word.removesuffix("?"), not optional, default or None))
    return Function(
        name=name, access=access, answerer=answerer, parameters=(*parameters, Parameter("params", required=False))
    )


FUNCTIONS: Final[Mapping[str, Function]] = MappingProxyType({
    function.name: function
    for texts, access, answerer in (
        (_PUBLIC, Access.PUBLIC, Answerer.EXCHANGE),
        (_READ, Access.READ, Answerer.EXCHANGE),
    )
    for function in (_function(text, access, answerer) for text in texts)
})  # fmt: skip
# ccxt has each in snake_case and in camelCase; of the latter only the letters count, as in fetchOHLCV.
_SPELLINGS: Final = {name.replace("_", ""): name for name in FUNCTIONS} | {name: name for name in FUNCTIONS}


def function(name: str) -> Function:
    """By its name in either spelling, or by that of its twin over a WebSocket. Raises OmsError."""
    spelled = name if "_" in name else name.lower()
    found = _SPELLINGS.get(spelled) or _SPELLINGS.get(spelled.removesuffix("ws").removesuffix("_"))
    if found is None:
        raise OmsError(
            "unsupported_action",
            f"{name[:TEXT_CHARS_MAX]!r} is not among the functions that may be called",
            details={"exception": "NotSupported"},
        )
    return FUNCTIONS[found]


def is_listed(name: str) -> bool:
    """Whether it may be called at all."""
    return name in _SPELLINGS or name.lower() in _SPELLINGS


def read(name: str, args: Sequence[object], kwargs: Mapping[str, object]) -> Call:
    """A call with its arguments, by position and by name as Python has them. Raises OmsError."""
    asked = function(name)
    names = [parameter.name for parameter in asked.parameters]
    if len(args) > len(names):
        raise _bad("args", f"{asked.name} takes at most {len(names)}, not {len(args)}")
    given = dict(zip(names, args, strict=False))
    for word, value in kwargs.items():
        if word not in names:
            raise _bad(word[:TEXT_CHARS_MAX], f"{asked.name} takes {', '.join(names)}")
        if word in given:
            raise _bad(word, "is given twice")
        given[word] = value
    return Call(
        function=asked,
        arguments={parameter.name: _argument(parameter, given.get(parameter.name)) for parameter in asked.parameters},
    )


def _argument(parameter: Parameter, value: object) -> Any:
    if value is not None:
        return _CHECKS[parameter.name](parameter.name, value)
    if parameter.required:
        raise _bad(parameter.name, "is needed", "ArgumentsRequired")
    return {} if parameter.name == "params" else parameter.default
