"""The pause an exchange asks for: how long, for everybody, and counted in the requests it gets meanwhile."""

from __future__ import annotations

import asyncio
from email.utils import formatdate
from time import monotonic, time
from typing import Any

import pytest
from ccxt.base.errors import DDoSProtection, ExchangeNotAvailable, RateLimitExceeded

from gateway.errors import TickwireError
from gateway.sources import pause
from gateway.sources.pause import JITTER, PAUSE_S, PAUSE_S_MAX, Pause, PauseMixin, pause_of
from tests.gateway.sources.tools import BTC, RecordingSink, Rig, source_on, subscriptions, synthetic
from tests.waiting import until

DIFF = "btcusdt@depth@100ms"


class Clock:
    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


class Scripted:
    """The part of a ccxt class that asks; `answers`: (status, headers) or an error, one a request."""

    id = "scripted"

    def __init__(self, _config: dict[str, Any]) -> None:
        self.answers: list[Any] = []
        self.asked = 0

    async def fetch(self, url: str, *_: Any) -> Any:
        self.asked += 1
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        status, headers = answer
        self.on_rest_response(status, "", url, "GET", headers, "", {}, None)
        if status == 200:
            return "fine"
        raise DDoSProtection(str(status)) if status in (418, 429) else ExchangeNotAvailable(str(status))

    def on_rest_response(self, *_: Any) -> str:
        return ""


class Paused(PauseMixin, Scripted):
    """One exchange under a clock of the test's."""

    def __init__(self) -> None:
        super().__init__({})
        self.clock = Clock()
        self.pause = Pause(self.clock, lambda _low, high: high)

    async def ask(self) -> str:
        """The answer, or the name of the error."""
        try:
            return str(await self.fetch("https://x/api?signature=1"))
        except Exception as error:
            return type(error).__name__


@pytest.mark.parametrize(
    ("status", "headers", "pause_s"),
    [
        (200, {"Retry-After": "60"}, None),
        (503, {"Retry-After": "60"}, None),
        (418, {"Retry-After": "120"}, 120),
        (429, {"retry-after": " 3 "}, 3),
        (429, {"Retry-After": "0"}, 0),
        (418, {}, 60),
        (429, {}, 5),
        (429, {"Retry-After": "soon"}, 5),
        (418, {"Retry-After": "-1"}, 60),
        (418, {"Retry-After": "9" * 400}, PAUSE_S_MAX),
    ],
)
def test_how_long_an_answer_asks_for(status: int, headers: dict[str, str], pause_s: float | None) -> None:
    assert pause_of(status, headers) == pause_s


def test_a_date_is_a_time_too() -> None:
    said_s = pause_of(418, {"Retry-After": formatdate(time() + 90, usegmt=True)})
    assert said_s is not None
    assert 88 <= said_s <= 90
    assert pause_of(418, {"Retry-After": formatdate(time() - 90, usegmt=True)}) == 0


def test_a_pause_only_grows_and_is_news_once() -> None:
    clock = Clock()
    peace = Pause(clock, lambda _low, high: high)
    assert peace.rest_s == 0
    assert peace.begin(60)
    assert peace.rest_s == pytest.approx(60 * (1 + JITTER))
    assert not peace.begin(1)
    assert peace.rest_s == pytest.approx(60 * (1 + JITTER))
    assert not peace.begin(100)
    assert peace.rest_s == pytest.approx(100 * (1 + JITTER))
    clock.now_s += 111
    assert peace.rest_s == 0
    assert peace.begin(1)


async def test_nothing_is_asked_until_the_pause_is_over() -> None:
    exchange = Paused()
    exchange.answers = [(200, {}), (418, {"Retry-After": "60"}), (200, {})]
    assert await exchange.ask() == "fine"
    assert await exchange.ask() == "DDoSProtection"
    for _ in range(60):
        assert await exchange.ask() == "RateLimitExceeded"
        exchange.clock.now_s += 1
    assert exchange.asked == 2
    exchange.clock.now_s += 7
    assert await exchange.ask() == "fine"


async def test_a_refusal_in_words_alone_is_a_pause_too_and_other_errors_are_none() -> None:
    exchange = Paused()
    exchange.answers = [(503, {"Retry-After": "60"}), RateLimitExceeded("too many visits"), (200, {})]
    assert await exchange.ask() == "ExchangeNotAvailable"
    assert await exchange.ask() == "RateLimitExceeded"
    assert exchange.pause.rest_s == pytest.approx(PAUSE_S * (1 + JITTER))
    assert await exchange.ask() == "RateLimitExceeded"
    assert exchange.asked == 2


async def test_a_pause_is_logged_once_without_what_was_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[tuple[str, dict[str, Any]]] = []

    class Log:
        def warning(self, event: str, **fields: Any) -> None:
            lines.append((event, fields))

    monkeypatch.setattr(pause, "log", Log())
    exchange = Paused()
    exchange.answers = [(429, {"Retry-After": "10"})]
    for _ in range(3):
        await exchange.ask()
    (event, fields) = lines[0]
    assert (len(lines), event, fields["url"], fields["pause_ms"]) == (1, "asked too much", "https://x/api", 11_000)


def refused(rig: Rig) -> int:
    count: int = rig.server.streams.counters.get("requests_refused", 0)
    return count


async def test_books_share_a_pause_of_at_least_what_the_exchange_said(rig: Rig) -> None:
    """Two books need a snapshot; the exchange is asked once, and again when its time is over, and trades go on."""
    symbols = [BTC, "ETH/USDT"]
    keys = [await rig.live("book", symbol=symbol) for symbol in symbols]
    trades = await rig.live("trades", poke="btcusdt@trade")
    await rig.sink.until(lambda: all(rig.sink.published(key) for key in keys))
    rig.fault("rest", status=418, path="/api/v3/depth", seconds=60, retry_after_s=2)
    begun_s = monotonic()
    for stream in (DIFF, "ethusdt@depth@100ms"):
        rig.fault("skip", stream=stream)
        rig.server.feed.burst(stream, 2)
    await until(lambda: refused(rig) == 1)
    await until(lambda: all(rig.state(key) == "backoff" for key in keys))
    rig.server.feed.burst("btcusdt@trade", 1)
    await rig.sink.until(lambda: len(rig.sink.published(trades)) == 2)
    assert refused(rig) == 1
    await until(lambda: refused(rig) == 2)
    assert monotonic() - begun_s >= 2
    rig.fault("clear")
    before = len(rig.sink.calls)
    await until(lambda: {DIFF, "ethusdt@depth@100ms"} <= subscriptions(rig.server).keys())
    await rig.sink.until(lambda: {call.key for call in rig.sink.calls[before:]} >= set(keys))
    assert rig.sink.of(trades, "lost") == [], "on the same connection, which is in order"


async def test_markets_keep_the_pause() -> None:
    async with synthetic() as server:
        source = source_on(server, RecordingSink())
        server.faults.apply({"fault": "rest", "status": 418, "seconds": 60, "retry_after_s": 30})
        outcomes = await asyncio.gather(*(source.resolve("trades", BTC, "") for _ in range(3)), return_exceptions=True)
        for outcome in outcomes:
            assert isinstance(outcome, TickwireError)
            assert outcome.code == "exchange_unavailable"
            assert outcome.retry_after_ms is not None
            assert outcome.retry_after_ms >= 29_000
        assert server.streams.counters["requests_refused"] == 1
        await source.close()
