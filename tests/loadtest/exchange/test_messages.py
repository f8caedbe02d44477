"""Shapes against examples in Binance's documentation and in the recorded files."""

import orjson

from loadtest.exchange import messages
from loadtest.exchange.bars import Bar, Trade
from loadtest.exchange.book import Best, Diff, Level
from loadtest.exchange.decimals import ONE, parse
from loadtest.exchange.market import AggTrade, Market, Spec
from tests.loadtest.exchange.tools import START_MS

TRADE = Trade(3735683259, parse("61837.63"), parse("0.02"), 1723161255342, True)


def _market() -> Market:
    market = Market(Spec("BTC", "USDT", ONE // 100, ONE // 100_000))
    market.load_book(5, [(parse("99.5"), ONE)], [(parse("100.5"), 2 * ONE)])
    market.add_trade(Trade(1, 100 * ONE, ONE, START_MS, False))
    market.add_trade(Trade(2, 110 * ONE, ONE, START_MS, True))
    return market


def test_a_trade_is_written_as_it_was_recorded() -> None:
    assert messages.trade("BTCUSDT", TRADE, 1723161255343) == (
        b'{"e":"trade","E":1723161255343,"s":"BTCUSDT","t":3735683259,"p":"61837.63000000","q":"0.02000000",'
        b'"T":1723161255342,"m":true,"M":true}'
    )


def test_a_book_ticker_is_written_as_it_was_recorded() -> None:
    best = Best(parse("61837.63"), parse("3.78826"), parse("61837.64"), parse("1.54698"))
    assert messages.book_ticker("BTCUSDT", 50093239212, best) == (
        b'{"u":50093239212,"s":"BTCUSDT","b":"61837.63000000","B":"3.78826000","a":"61837.64000000","A":"1.54698000"}'
    )


def test_a_diff_is_written_as_it_was_recorded() -> None:
    diff = Diff(50093239203, 50093239207, [Level(parse("55653.87"), 0)], [Level(parse("61838.04"), parse("0.32332"))])
    assert messages.depth_update("BTCUSDT", diff, 1723161255308) == (
        b'{"e":"depthUpdate","E":1723161255308,"s":"BTCUSDT","U":50093239203,"u":50093239207,'
        b'"b":[["55653.87000000","0.00000000"]],"a":[["61838.04000000","0.32332000"]]}'
    )


def test_partial_depth() -> None:
    assert orjson.loads(messages.depth(_market().book, 5)) == {
        "lastUpdateId": 5,
        "bids": [["99.50000000", "1.00000000"]],
        "asks": [["100.50000000", "2.00000000"]],
    }


def test_an_aggregate_trade() -> None:
    made = orjson.loads(messages.agg_trade("BTCUSDT", AggTrade(7, ONE, 2 * ONE, 3, 4, START_MS, False), START_MS + 1))
    assert made == {
        "e": "aggTrade", "E": START_MS + 1, "s": "BTCUSDT", "a": 7, "p": "1.00000000", "q": "2.00000000",
        "f": 3, "l": 4, "T": START_MS, "m": False, "M": True,
    }  # fmt: skip


def test_a_kline() -> None:
    bar = Bar(START_MS, 100 * ONE)
    bar.add(Trade(1, 100 * ONE, ONE, START_MS, False))
    bar.add(Trade(2, 90 * ONE, ONE, START_MS, True))
    assert orjson.loads(messages.kline("BTCUSDT", "1s", bar, START_MS + 900, closed=True)) == {
        "e": "kline", "E": START_MS + 900, "s": "BTCUSDT",
        "k": {
            "t": START_MS, "T": START_MS + 999, "s": "BTCUSDT", "i": "1s", "f": 1, "L": 2,
            "o": "100.00000000", "c": "90.00000000", "h": "100.00000000", "l": "90.00000000", "v": "2.00000000",
            "n": 2, "x": True, "q": "190.00000000", "V": "1.00000000", "Q": "100.00000000", "B": "0",
        },
    }  # fmt: skip


def test_tickers() -> None:
    market = _market()
    full = orjson.loads(messages.ticker(market, START_MS + 5) or b"null")
    assert full == {
        "e": "24hrTicker", "E": START_MS + 5, "s": "BTCUSDT", "p": "10.00000000", "P": "10.000", "w": "105.00000000",
        "x": "100.00000000", "c": "110.00000000", "Q": "1.00000000", "b": "99.50000000", "B": "1.00000000",
        "a": "100.50000000", "A": "2.00000000", "o": "100.00000000", "h": "110.00000000", "l": "100.00000000",
        "v": "2.00000000", "q": "210.00000000", "O": START_MS + 5 - 86_400_000, "C": START_MS + 5,
        "F": 1, "L": 2, "n": 2,
    }  # fmt: skip
    mini = orjson.loads(messages.mini_ticker(market, START_MS + 5) or b"null")
    assert mini == {name: full[name] for name in "Escohlvq"} | {"e": "24hrMiniTicker"}


def test_no_ticker_without_a_trade() -> None:
    market = Market(Spec("BTC", "USDT", 1, 1))
    assert messages.ticker(market, START_MS) is None
    assert messages.mini_ticker(market, START_MS) is None
