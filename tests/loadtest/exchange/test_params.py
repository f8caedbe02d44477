"""Binance's error codes for wrong parameters."""

import pytest

from loadtest.exchange import params
from loadtest.exchange.params import BinanceError

MARKETS = {"BTCUSDT": 1, "ETHUSDT": 2, "BNBUSDT": 3}


def _code(error: pytest.ExceptionInfo[BinanceError]) -> int:
    assert error.value.status == 400
    return error.value.code


@pytest.mark.parametrize(
    ("query", "code"),
    [({}, -1102), ({"symbol": ""}, -1102), ({"symbol": "btcusdt"}, -1100), ({"symbol": "NOPE"}, -1121)],
)
def test_a_wrong_symbol(query: dict[str, str], code: int) -> None:
    with pytest.raises(BinanceError) as error:
        params.listed(query, MARKETS)
    assert _code(error) == code


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"symbols": "BTCUSDT"}, -1100),
        ({"symbols": '["btcusdt"]'}, -1100),
        ({"symbols": "[1]"}, -1100),
        ({"symbols": "[]"}, -1105),
        ({"symbols": '["BTCUSDT","NOPE"]'}, -1121),
        ({"symbols": '["BTCUSDT"]', "symbol": "BTCUSDT"}, -1128),
    ],
)
def test_wrong_symbols(query: dict[str, str], code: int) -> None:
    with pytest.raises(BinanceError) as error:
        params.several(query, MARKETS)
    assert _code(error) == code


def test_symbols() -> None:
    assert params.listed({"symbol": "ETHUSDT"}, MARKETS) == 2
    assert params.several({"symbol": "ETHUSDT"}, MARKETS) == ([2], True)
    assert params.several({"symbols": '["BNBUSDT","BTCUSDT"]'}, MARKETS) == ([3, 1], False)
    assert params.several({}, MARKETS) == ([1, 2, 3], False)


@pytest.mark.parametrize(("text", "code"), [("x", -1100), ("-1", -1100), ("1.5", -1100), ("", -1105), ("0", -1130)])
def test_a_wrong_limit(text: str, code: int) -> None:
    with pytest.raises(BinanceError) as error:
        params.limit({"limit": text}, 500, 1000)
    assert _code(error) == code


def test_limits_are_cut_to_the_most() -> None:
    assert params.limit({}, 500, 1000) == 500
    assert params.limit({"limit": "7"}, 500, 1000) == 7
    assert params.limit({"limit": "99999"}, 500, 1000) == 1000


def test_time_ranges() -> None:
    assert params.time_range({}) == (None, None)
    assert params.time_range({"startTime": "1", "endTime": "2"}) == (1, 2)
    with pytest.raises(BinanceError) as error:
        params.time_range({"startTime": "3", "endTime": "2"})
    assert _code(error) == -1127


def test_an_error_is_worded_as_binance_does() -> None:
    assert BinanceError(-1121, "Invalid symbol.").body() == b'{"code":-1121,"msg":"Invalid symbol."}'
