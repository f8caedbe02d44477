"""Which functions of ccxt may be called, by which names, and with which arguments."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from oms.errors import OmsError
from oms.passing import calls
from oms.passing.calls import FUNCTIONS, Access


def refusal(name: str, *args: Any, **kwargs: Any) -> tuple[str, str, str]:
    with pytest.raises(OmsError) as refused:
        calls.read(name, args, kwargs)
    details = refused.value.details or {}
    return refused.value.code, details.get("field", ""), details["exception"]


@pytest.mark.parametrize("name", ["fetch_ohlcv", "fetchOHLCV", "fetch_ohlcv_ws", "fetchOhlcvWs"])
def test_each_spelling_means_the_same(name: str) -> None:
    assert calls.read(name, ["BTC/USDT"], {}).name == "fetch_ohlcv"


@pytest.mark.parametrize(
    "name",
    [
        "withdraw",
        "transfer",
        "set_margin",
        "fetch_deposit_address",
        "fetchDepositAddresses",
        "sign",
        "request",
        "fetch2",
        "__init__",
        "",
        "fetch",
        "private_get_account",
    ],
)
def test_what_is_not_listed_is_not_called(name: str) -> None:
    assert refusal(name) == ("unsupported_action", "", "NotSupported")
    assert not calls.is_listed(name)


def test_nothing_that_moves_funds_is_listed() -> None:
    moving = (
        "withdraw",
        "transfer",
        "borrow",
        "repay",
        "deposit",
        "convert",
        "gift",
        "sub_account",
        "add",
        "reduce",
        "set",
    )
    found = [name for name in FUNCTIONS if name.startswith(moving)]
    assert found == ["set_leverage", "set_margin_mode", "set_position_mode"], "which move nothing"


def test_arguments_are_in_the_order_of_the_function_with_what_stands_for_those_left_out() -> None:
    call = calls.read("fetch_ohlcv", ["BTC/USDT"], {"limit": 5, "params": {"x": Decimal("0.5")}})
    assert list(call.arguments.items()) == [
        ("symbol", "BTC/USDT"), ("timeframe", "1m"), ("since", None), ("limit", 5), ("params", {"x": 0.5}),
    ]  # fmt: skip
    assert call.function.access is Access.PUBLIC
    assert calls.read("fetch_ticker", [], {"symbol": "A/B"}).arguments == {"symbol": "A/B", "params": {}}
    assert calls.read("fetch_trades", ["A/B", Decimal("1700000000000.0")], {}).arguments["since"] == 1_700_000_000_000


@pytest.mark.parametrize(
    ("name", "args", "kwargs", "field"),
    [
        ("fetch_ticker", ["A/B", {}, 3], {}, "args"),
        ("fetch_ticker", ["A/B"], {"symbol": "A/B"}, "symbol"),
        ("fetch_ticker", ["A/B"], {"sybmol": "A/B"}, "sybmol"),
        ("fetch_ticker", [["A/B"]], {}, "symbol"),
        ("fetch_ticker", ["A" * 200], {}, "symbol"),
        ("fetch_ticker", ["A\nB"], {}, "symbol"),
        ("fetch_ticker", ["A/B", []], {}, "params"),
        ("fetch_ticker", ["A/B", {"method": "privatePostWithdraw"}], {}, "params"),
        ("fetch_ticker", ["A/B", {"x": "y" * 5_000}], {}, "params"),
        ("fetch_ticker", ["A/B", {"x": 2**70}], {}, "params"),
        ("fetch_ticker", ["A/B", {"x": [[[[[[[[[1]]]]]]]]]}], {}, "params"),
        ("fetch_my_liquidations", [], {"params": {"paginationCalls": 1_000}}, "params.paginationCalls"),
        ("fetch_tickers", ["A/B"], {}, "symbols"),
        ("fetch_tickers", [["A/B"] * 501], {}, "symbols"),
        ("fetch_trades", ["A/B", -1], {}, "since"),
        ("fetch_trades", ["A/B", Decimal("0.5")], {}, "since"),
        ("fetch_trades", ["A/B", True], {}, "since"),
        ("fetch_trades", ["A/B", 0, 0], {}, "limit"),
        ("fetch_ohlcv", ["A/B", "1 m"], {}, "timeframe"),
        ("load_markets", ["yes"], {}, "reload"),
        ("fetch_ledger_entry", [True], {}, "id"),
    ],
)  # fmt: skip
def test_an_argument_that_cannot_be_is_named(name: str, args: list[Any], kwargs: dict[str, Any], field: str) -> None:
    assert refusal(name, *args, **kwargs) == ("validation_error", field, "BadRequest")


def test_an_argument_that_is_missing_is_named() -> None:
    assert refusal("fetch_ticker") == ("validation_error", "symbol", "ArgumentsRequired")
    assert refusal("fetch_ticker", None) == ("validation_error", "symbol", "ArgumentsRequired")
