"""The unified functions of ccxt that may be called for an account: with which permission, and with which arguments.

A list of what may be; what is not on it may not. Pure: names and decoded JSON in, a checked call out, or a refusal that
names the argument. Must not know an exchange, nor who asks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final

import msgspec

from oms.errors import OmsError
from oms.passing.arguments import CHECKS, TEXT_CHARS_MAX, bad


class Access(StrEnum):
    """What is needed to call."""

    PUBLIC = "public"  # of the market, the same for everybody
    READ = "read"  # of the account
    TRADE = "trade"  # changes something: it becomes a command of the OMS
    SET = "set"  # changes how the account trades at its exchange: what may be traded with may be set


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


# Of the account, as the OMS knows it: ids are its own.
_RECORDS: Final = (
    "fetch_order(id?, symbol?)", "fetch_open_order(id?, symbol?)", "fetch_closed_order(id?, symbol?)",
    "fetch_order_status(id, symbol?)", "fetch_order_with_client_order_id(clientOrderId, symbol?)",
    "fetch_orders(symbol?, since?, limit?)", "fetch_open_orders(symbol?, since?, limit?)",
    "fetch_closed_orders(symbol?, since?, limit?)", "fetch_canceled_orders(symbol?, since?, limit?)",
    "fetch_canceled_and_closed_orders(symbol?, since?, limit?)",
    "fetch_my_trades(symbol?, since?, limit?)", "fetch_order_trades(id?, symbol?, since?, limit?)",
    "fetch_position(symbol)", "fetch_positions(symbols?)", "fetch_positions_for_symbol(symbol)",
    "fetch_position_history(symbol, since?, limit?)", "fetch_positions_history(symbols?, since?, limit?)",
)  # fmt: skip
# Of the account, at its exchange, which the OMS does not keep. Where funds go to is not among it.
_SET: Final = (
    "set_leverage(leverage, symbol?)", "set_margin_mode(marginMode, symbol?)", "set_position_mode(hedged, symbol?)",
)  # fmt: skip
# What becomes a command.
_TRADE: Final = (
    "create_order(symbol, type, side, amount, price?)", "create_orders(orders)",
    "create_limit_order(symbol, side, amount, price)", "create_market_order(symbol, side, amount, price?)",
    "create_limit_buy_order(symbol, amount, price)", "create_limit_sell_order(symbol, amount, price)",
    "create_market_buy_order(symbol, amount)", "create_market_sell_order(symbol, amount)",
    "create_post_only_order(symbol, type, side, amount, price?)",
    "create_reduce_only_order(symbol, type, side, amount, price?)",
    "create_trigger_order(symbol, type, side, amount, price?, triggerPrice?)",
    "create_stop_order(symbol, type, side, amount, price?, triggerPrice?)",
    "create_stop_limit_order(symbol, side, amount, price, triggerPrice)",
    "create_stop_market_order(symbol, side, amount, triggerPrice)",
    "create_stop_loss_order(symbol, type, side, amount, price?, stopLossPrice?)",
    "create_take_profit_order(symbol, type, side, amount, price?, takeProfitPrice?)",
    "create_order_with_take_profit_and_stop_loss(symbol, type, side, amount, price?, takeProfit?, stopLoss?)",
    "edit_order(id?, symbol?, type?, side?, amount?, price?)", "edit_limit_order(id?, symbol?, side?, amount?, price?)",
    "edit_limit_buy_order(id?, symbol?, amount?, price?)", "edit_limit_sell_order(id?, symbol?, amount?, price?)",
    "edit_order_with_client_order_id(clientOrderId, symbol?, type?, side?, amount?, price?)",
    "cancel_order(id?, symbol?)", "cancel_order_with_client_order_id(clientOrderId, symbol?)",
    "cancel_orders(ids, symbol?)", "cancel_orders_with_client_order_ids(clientOrderIds, symbol?)",
    "cancel_orders_for_symbols(orders)", "cancel_all_orders(symbol?)", "cancel_all_orders_after(timeout)",
    "close_position(symbol, side?)",
)  # fmt: skip


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
        (_SET, Access.SET, Answerer.EXCHANGE),
        (_RECORDS, Access.READ, Answerer.OMS),
        (_TRADE, Access.TRADE, Answerer.OMS),
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
        raise bad("args", f"{asked.name} takes at most {len(names)}, not {len(args)}")
    given = dict(zip(names, args, strict=False))
    for word, value in kwargs.items():
        if word not in names:
            raise bad(word[:TEXT_CHARS_MAX], f"{asked.name} takes {', '.join(names)}")
        if word in given:
            raise bad(word, "is given twice")
        given[word] = value
    return Call(
        function=asked,
        arguments={parameter.name: _argument(parameter, given.get(parameter.name)) for parameter in asked.parameters},
    )


def _argument(parameter: Parameter, value: object) -> Any:
    if value is not None and not (value == "" and not parameter.required):  # programs write "" for no id
        return CHECKS[parameter.name](parameter.name, value)
    if parameter.required:
        raise bad(parameter.name, "is needed", "ArgumentsRequired")
    return {} if parameter.name == "params" else parameter.default
