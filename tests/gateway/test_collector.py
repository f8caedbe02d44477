"""The cyclic collector looks once at what stays, frees what is new and dead, and is not needed for connections."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable

import aiohttp

from gateway.app import App
from gateway.collector import THAW_S, THRESHOLDS, collecting
from gateway.config import Config, ServerConfig
from gateway.net.connection import Connection
from gateway.net.session import StreamSession
from gateway.sources.config import ExchangeConfig
from tests.waiting import until

MADE = ExchangeConfig(klass="synthetic", options={"symbols": 1, "rate": 100.0})
SUBSCRIBE = {"action": "subscribe", "channel": "quotes", "symbols": ["S0/USDT"]}


class Knot:
    """Garbage that only the collector can free."""

    def __init__(self) -> None:
        self.itself = self


class Alarms:
    """A loop's call_later, rung by hand."""

    def __init__(self) -> None:
        self.set: list[tuple[float, Callable[[], None]]] = []
        self.cancelled = 0

    def __call__(self, delay_s: float, callback: Callable[[], None]) -> Alarms:
        self.set.append((delay_s, callback))
        return self

    def cancel(self) -> None:
        self.cancelled += 1


def tied() -> tuple[Knot, weakref.ref[Knot]]:
    knot = Knot()
    return knot, weakref.ref(knot)


def test_a_full_collection_freezes_what_it_leaves_and_frees_what_died_young() -> None:
    with collecting(Alarms()):
        frozen = gc.get_freeze_count()
        kept = [Knot() for _ in range(1000)]
        knot, seen = tied()
        del knot
        gc.collect()
        assert seen() is None
        assert gc.get_freeze_count() >= frozen + len(kept)
        assert len(gc.get_objects(generation=2)) < len(kept), "the next one has nothing of it to look at"


def test_what_dies_after_it_was_frozen_is_freed_at_the_next_thaw() -> None:
    alarms = Alarms()
    with collecting(alarms):
        knot, seen = tied()
        gc.collect()
        del knot
        gc.collect()
        assert seen() is not None
        [(delay_s, thaw)] = alarms.set
        assert delay_s == THAW_S
        thaw()
        assert seen() is None
        assert len(alarms.set) == 2, "and again an hour later"


def test_none_has_more_to_look_at_than_what_a_hundred_connections_make() -> None:
    with collecting(Alarms()):
        kept, most = [], 0
        for _ in range(100):
            kept.append([Knot() for _ in range(1_000)])  # an object and its dict
            most = max(most, sum(len(gc.get_objects(generation=each)) for each in range(3)))
        assert most < 40_000
        assert gc.get_freeze_count() > 100_000


def test_everything_is_as_it_was_afterwards() -> None:
    thresholds, callbacks = gc.get_threshold(), list(gc.callbacks)
    alarms = Alarms()
    with collecting(alarms):
        assert gc.get_threshold() == THRESHOLDS
    assert gc.get_threshold() == thresholds
    assert gc.callbacks == callbacks
    assert gc.get_freeze_count() == 0
    assert alarms.cancelled == 1


async def test_a_closed_connection_is_freed_without_it() -> None:
    app = App(Config(server=ServerConfig(port=0), default_exchange="made", exchanges={"made": MADE}))
    await app.start()
    url = f"http://127.0.0.1:{app.port}/v1/stream"
    gc.collect()
    gc.disable()
    try:
        for _ in range(3):
            async with aiohttp.ClientSession() as http, http.ws_connect(url) as socket:
                await socket.send_json(SUBSCRIBE)
                seen = [(await socket.receive_json())["type"] for _ in range(4)]
                assert seen == ["connected", "subscribed", "quote", "quote"]
        await until(lambda: not app.sessions.connections())
        assert not [held for held in gc.get_objects() if type(held) in (Connection, StreamSession)]
    finally:
        gc.enable()
        await app.close()
