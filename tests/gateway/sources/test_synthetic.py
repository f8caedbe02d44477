"""The made market: names, pace, phases and data; no loop, since the clock is the test's."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import pairwise

import orjson
import pytest

from _speedups.book import Book, Changes
from gateway.core.key import Key
from gateway.errors import TickwireError
from gateway.sources.base import Reason
from gateway.sources.synthetic import SyntheticSource, quote


class Alarm:
    def __init__(self, when: float, callback: Callable[[], None]) -> None:
        self.when, self.callback, self.cancelled = when, callback, False

    def cancel(self) -> None:
        self.cancelled = True


class ManualClock:
    def __init__(self) -> None:
        self.now = 1_000.0
        self.alarms: list[Alarm] = []

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, callback: Callable[[], None]) -> Alarm:
        self.alarms.append(Alarm(when, callback))
        return self.alarms[-1]

    def run_until(self, when: float) -> None:
        while due := [alarm for alarm in self.alarms if alarm.when <= when and not alarm.cancelled]:
            self.alarms.remove(due[0])
            self.now = max(self.now, due[0].when)
            due[0].callback()
        self.now = when


class Published:
    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.seen: list[tuple[float, str, bytes]] = []
        self.stamps_ns: list[int] = []

    def publish(self, key: Key, data: bytes, *, t_ex: int | None, t_in: int, final: bool = False) -> None:
        assert t_ex == t_in // 1_000_000
        assert not final
        self.stamps_ns.append(t_in)
        self.seen.append((round(self.clock.now - 1_000.0, 6), key.symbol, data))

    def publish_book(self, key: Key, changes: Changes, book: Book, *, t_ex: int | None, t_in: int) -> None:
        raise AssertionError("a synthetic source has no book")

    def lost(self, key: Key, reason: Reason) -> None:
        raise AssertionError("a synthetic source loses nothing")

    def settle(self) -> None: ...


def market(**options: float) -> tuple[SyntheticSource, ManualClock, Published]:
    clock = ManualClock()
    published = Published(clock)
    return SyntheticSource("bench", options, published, clock, clock.time), clock, published


def key(number: int) -> Key:
    return Key("bench", "quotes", f"S{number}/USDT")


async def test_symbols_wrap_around() -> None:
    source, _clock, _published = market(symbols=3)
    assert await source.resolve("quotes", "S2/USDT", "") == key(2)
    assert await source.resolve("quotes", "S10/USDT", "") == source.known("quotes", "S10/USDT", "") == key(1)
    assert source.answers_at_once


@pytest.mark.parametrize("symbol", ["BTC/USDT", "S/USDT", "S1", "S-1/USDT", "S1/USDT/USDT", "S²/USDT"])
async def test_other_symbols_are_unknown(symbol: str) -> None:
    source, _clock, _published = market()
    with pytest.raises(TickwireError) as caught:
        await source.resolve("quotes", symbol, "")
    assert caught.value.code == "unknown_symbol"


async def test_other_channels_are_unsupported() -> None:
    source, _clock, _published = market()
    with pytest.raises(TickwireError) as caught:
        await source.resolve("book", "S0/USDT", "10")
    assert caught.value.code == "unsupported_channel"


@pytest.mark.parametrize("options", [{"symbols": 0}, {"rate": 0}, {"speed": 1}, {"data_bytes": 65_537}])
def test_wrong_options_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(TickwireError, match="options") as caught:
        market(**options)
    assert caught.value.code == "validation_error"


async def test_phases_are_spread_evenly() -> None:
    source, clock, published = market(symbols=4, rate=10)
    await source.start()
    for number in range(4):
        source.acquire(key(number))
    clock.run_until(1_000.19)
    assert [(at, symbol) for at, symbol, _data in published.seen] == [
        (0.0, "S0/USDT"), (0.025, "S1/USDT"), (0.05, "S2/USDT"), (0.075, "S3/USDT"),
        (0.1, "S0/USDT"), (0.125, "S1/USDT"), (0.15, "S2/USDT"), (0.175, "S3/USDT"),
    ]  # fmt: skip


def test_only_what_was_acquired_ticks() -> None:
    source, clock, published = market(symbols=4, rate=10)
    source.acquire(key(2))
    clock.run_until(1_001.0)
    assert {symbol for _at, symbol, _data in published.seen} == {"S2/USDT"}
    assert len(published.seen) == 10


def test_late_updates_are_made_up_for() -> None:
    source, clock, published = market(rate=100)
    source.acquire(key(0))
    clock.now = 1_000.5
    before_ns = time.time_ns()
    clock.run_until(1_000.5)
    after_ns = time.time_ns()
    assert len(published.seen) == 51
    caught_up = published.stamps_ns[1:]  # all but the one that came with the clock's start
    on_time_ns = [stamp + 10_000_000 * number for number, stamp in enumerate(reversed(caught_up))]
    assert before_ns <= on_time_ns[0] <= after_ns, "the last one is due just now"
    assert max(on_time_ns) - min(on_time_ns) < 1_000, "each is stamped with when it was due: what was late counts so"


def test_lateness_that_a_rounded_clock_hides_counts() -> None:
    clock = ManualClock()
    published = Published(clock)
    late_s = [0.0]
    source = SyntheticSource("bench", {"rate": 100}, published, clock, lambda: clock.now + late_s[0])
    source.acquire(key(0))
    late_s[0] = 0.0007
    before_ns = time.time_ns()
    clock.run_until(1_000.01)
    late_ns = [ns - published.stamps_ns[-1] for ns in (before_ns, time.time_ns())]
    assert late_ns[0] - 1_000 <= 700_000 <= late_ns[1] + 1_000


@pytest.mark.parametrize("data_bytes", [0, 160, 1_000, 20_000])
def test_a_quote_is_filled_up_to_the_size_that_is_asked_for(data_bytes: int) -> None:
    source, clock, published = market(data_bytes=data_bytes)
    source.acquire(key(0))
    clock.run_until(1_000.0)
    ((_at, _symbol, data),) = published.seen
    plain = quote(key(0), 0)
    made = orjson.loads(data)
    assert made.pop("padding", "").strip("x") == ""
    assert made == orjson.loads(plain)
    assert len(data) == (data_bytes if data_bytes > len(plain) else len(plain))


async def test_released_keys_are_silent_and_the_last_one_stops_the_clock() -> None:
    source, clock, published = market(symbols=2, rate=10)
    source.acquire(key(0))
    source.acquire(key(1))
    source.release(key(0))
    clock.run_until(1_000.2)
    assert {symbol for _at, symbol, _data in published.seen[1:]} == {"S1/USDT"}
    await source.close()
    before = len(published.seen)
    clock.run_until(1_002.0)
    assert len(published.seen) == before
    assert source.status() == []
    source.acquire(key(1))
    clock.run_until(1_003.0)
    assert len(published.seen) > before


def test_status_counts_updates() -> None:
    source, clock, _published = market(symbols=2, rate=10)
    source.acquire(key(0))
    source.acquire(key(1))
    first, second = source.status()
    assert (first.key, first.state, first.updates) == (key(0), "live", 1)
    assert (second.key, second.state, second.last_update_ns) == (key(1), "starting", None)
    clock.run_until(1_000.95)
    assert [status.updates for status in source.status()] == [10, 10]


def test_quotes_are_json_in_the_channels_shape_and_change_each_time() -> None:
    quotes = [quote(key(7), count) for count in range(3_000)]
    first = orjson.loads(quotes[0])
    assert list(first) == ["symbol", "exchange", "bid", "ask", "last", "bid_size", "ask_size", "volume"]
    assert first["symbol"] == "S7/USDT"
    for text, following in pairwise(quotes):
        made = orjson.loads(text)
        assert made["bid"] < made["ask"]
        assert text != following
    assert {len(text) for text in quotes} == {140}
