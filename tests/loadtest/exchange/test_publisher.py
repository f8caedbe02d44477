"""Every stream of a market: what is sent when."""

from typing import Any

import pytest

from loadtest.exchange.bars import Trade
from loadtest.exchange.decimals import ONE
from loadtest.exchange.market import Market, Spec
from loadtest.exchange.publisher import Publisher
from loadtest.exchange.streams import Streams
from tests.loadtest.exchange.tools import START_MS, Collector


class Stage:
    """A market with a publisher and a listener."""

    def __init__(self, *names: str, late_ms: int = 0) -> None:
        self.streams = Streams()
        self.market = Market(Spec("BTC", "USDT", 1, 1), late_ms)
        self.market.load_book(10, [(99, 1)], [(101, 1)])
        self.publisher = Publisher(self.market, self.streams, START_MS)
        self.heard = Collector(combined=False).listen(self.streams, *(f"btcusdt@{name}" for name in names))
        self._ids = 0

    def trade(self, after_ms: int, price: int = 100) -> None:
        self._ids += 1
        made = Trade(self._ids, price * ONE, ONE, START_MS + after_ms, False)
        self.publisher.trade(made, START_MS + after_ms)

    def tick(self, after_ms: int) -> None:
        self.publisher.tick(START_MS + after_ms)

    def messages(self) -> list[dict[str, Any]]:
        return self.heard.messages()


def test_trades_go_out_at_once_and_aggregates_when_they_end() -> None:
    stage = Stage("trade", "aggTrade")
    stage.trade(1)
    stage.trade(1)
    stage.trade(2)
    assert [(m["e"], m.get("t")) for m in stage.messages()] == [
        ("trade", 1), ("trade", 2), ("aggTrade", None), ("trade", 3),
    ]  # fmt: skip
    stage.tick(100)
    assert [(m["f"], m["l"]) for m in stage.messages() if m["e"] == "aggTrade"] == [(1, 2), (3, 3)]


def test_recorded_bytes_are_passed_on() -> None:
    stage = Stage("trade", "bookTicker", "depth@100ms")
    stage.publisher.trade(Trade(1, ONE, ONE, START_MS, False), START_MS, b"trade", b"enveloped")
    stage.publisher.recorded_best(b"best", b"enveloped")
    stage.publisher.recorded_diff(b"diff", b"enveloped")
    assert stage.heard.payloads == [b"trade", b"best", b"diff"]


def test_diffs_every_100_ms_and_every_second_are_contiguous() -> None:
    stage = Stage("depth@100ms", "depth")
    for step in range(1, 25):
        if step % 3:
            stage.market.set_bid(90, step * ONE)
            stage.market.set_ask(110, step * ONE)
        stage.tick(step * 100)
    spans = [(m["U"], m["u"]) for m in stage.messages()]
    slow = [span for span in spans if span[1] - span[0] > 1]
    fast = [span for span in spans if span not in slow]
    assert fast == [(first, first + 1) for first in range(11, 11 + 2 * 16, 2)]
    assert [span[0] for span in slow] == [11, slow[0][1] + 1]


def test_nobody_is_sent_an_old_diff() -> None:
    stage = Stage()
    stage.market.set_bid(90, 1)
    stage.tick(100)
    late = Collector().listen(stage.streams, "btcusdt@depth@100ms")
    stage.tick(200)
    stage.market.set_bid(90, 2)
    stage.tick(300)
    assert [(m["data"]["U"], m["data"]["u"]) for m in late.messages()] == [(12, 12)]


def test_partial_books() -> None:
    stage = Stage("depth5@100ms", "depth10")
    for price in range(80, 99):
        stage.market.set_bid(price, 1)
    for step in range(1, 11):
        stage.tick(step * 100)
    sizes = [len(m["bids"]) for m in stage.messages()]
    assert sizes.count(5) == 10
    assert sizes.count(10) == 1


@pytest.mark.parametrize(("name", "event"), [("ticker", "24hrTicker"), ("miniTicker", "24hrMiniTicker")])
def test_tickers_come_every_second(name: str, event: str) -> None:
    stage = Stage(name)
    stage.trade(1)
    for step in range(1, 31):
        stage.tick(step * 100)
    assert [m["e"] for m in stage.messages()] == [event] * 3


def test_klines_close_in_order_and_flat_where_nothing_traded() -> None:
    stage = Stage("kline_1s")
    stage.tick(100)
    stage.trade(200, 100)
    stage.trade(900, 120)
    stage.trade(3_100, 90)
    closed = [m["k"] for m in stage.messages() if m["k"]["x"]]
    assert [(k["t"] - START_MS, k["c"], k["n"]) for k in closed] == [
        (0, "120.00000000", 2), (1_000, "120.00000000", 0), (2_000, "120.00000000", 0),
    ]  # fmt: skip
    stage.tick(3_200)
    stage.tick(4_300)
    last = [(k["t"] - START_MS, k["c"], k["x"]) for k in (m["k"] for m in stage.messages())][-3:]
    assert last == [(3_000, "90.00000000", False), (3_000, "90.00000000", True), (4_000, "90.00000000", False)]


def test_the_clock_waits_for_late_trades_before_it_closes_a_bar() -> None:
    stage = Stage("kline_1s", late_ms=250)
    stage.tick(300)
    stage.trade(400)
    stage.tick(1_200)
    stage.trade(950)
    assert not any(m["k"]["x"] for m in stage.messages())
    stage.tick(1_260)
    assert [m["k"]["n"] for m in stage.messages() if m["k"]["x"]] == [2]


@pytest.mark.parametrize(
    "name", ["kline_1m", "ticker", "miniTicker", "depth", "depth@100ms", "depth5", "depth20@100ms"]
)
def test_push_now_publishes_one_message(name: str) -> None:
    stage = Stage(name)
    stage.trade(1)
    stage.market.set_bid(90, 1)
    stage.publisher.push_now(name, START_MS + 2)
    assert len(stage.messages()) == 1
