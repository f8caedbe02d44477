"""A fan-out without a loop or a kernel, and sockets that take everything: what is timed is the compiled code's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from pytest_benchmark.fixture import BenchmarkFixture

from _speedups.fanout import Fanout, Stream
from _speedups.frame import Form
from _speedups.outbox import Outbox
from gateway.core.key import Key, stream_id
from gateway.sources.synthetic import quote
from gateway.wire.forms import StreamForm

KEY = Key("bench", "quotes", "S0/USDT")
TOPIC = stream_id(KEY)
DATA = quote(KEY, 0)
T_IN = 1_770_474_600_121_000_000
EPOCH = "k3f9"
ROUNDS = 100
FORM: Form = StreamForm()

T = TypeVar("T")


class Sink:
    """A transport that takes everything, and the owner of its outbox."""

    def __init__(self) -> None:
        self.writes = 0

    def write(self, data: bytes) -> None:
        self.writes += 1

    def on_overflow(self) -> None:
        raise AssertionError("nothing waits here")


def never(*_arguments: Any) -> None:
    """Loop calls are not made: who measures flushes by hand."""


def new_fanout() -> Fanout:
    return Fanout(never, never)


def new_stream(fanout: Fanout, updates: int = 0) -> Stream:
    """A stream of states that has so many updates behind it."""
    stream = Stream(fanout, TOPIC, EPOCH, delivery=0)
    for _ in range(updates):
        stream.publish(DATA, None, T_IN)
    return stream


def new_outboxes(fanout: Fanout, count: int) -> list[Outbox]:
    return [Outbox(fanout, -1, sink, sink) for sink in (Sink() for _ in range(count))]


def subscribed(stream: Stream, outboxes: list[Outbox]) -> list[Outbox]:
    """The same outboxes, now subscribers."""
    for outbox in outboxes:
        stream.attach(outbox, FORM, snapshot=False)
    return outboxes


def each_once(benchmark: BenchmarkFixture, act: Callable[[T], None], make: Callable[[], T]) -> None:
    """Measure what can be done only once to an object: each round gets a new one, made outside of what is timed."""
    pedantic: Any = benchmark.pedantic  # has no types
    pedantic(act, setup=lambda: ((make(),), {}), rounds=ROUNDS)
