"""What one update costs from the hub to a thousand sockets, without the kernel: render, frame, ring, offer, sweep.

The kernel's share (4 to 6 us a send) is measured by `make bench`; here it must not hide ours.
"""

from __future__ import annotations

from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from _speedups.fanout import Fanout, Stream
from _speedups.frame import OP_TEXT, Form, Update, encode
from _speedups.outbox import Outbox
from _speedups.sequence import Ring
from gateway.core.key import Key, stream_id
from gateway.sources.synthetic import quote
from gateway.wire.forms import StreamForm

pytestmark = pytest.mark.benchmark(max_time=0.3, min_rounds=3)

KEY = Key("bench", "quotes", "S0/USDT")
TOPIC = stream_id(KEY)
DATA = quote(KEY, 0)
T_IN = 1_770_474_600_121_000_000
SOCKETS = 1_000


class Sink:
    """A transport that takes everything, and the owner of its outbox."""

    def __init__(self) -> None:
        self.writes = 0

    def write(self, data: bytes) -> None:
        self.writes += 1

    def on_overflow(self) -> None:
        raise AssertionError("nothing waits here")


def never(*_arguments: Any) -> None:
    """Loop calls are not made: the test flushes by hand."""


def test_frame(benchmark: BenchmarkFixture) -> None:
    assert benchmark(encode, OP_TEXT, DATA).endswith(DATA)


def test_render(benchmark: BenchmarkFixture) -> None:
    template = StreamForm().template(TOPIC)
    update = Update(12_346, DATA, T_IN // 1_000_000, T_IN, T_IN + 90_000, False)
    assert benchmark(template.render, update, "k3f9").endswith(b"}")


def test_ring(benchmark: BenchmarkFixture) -> None:
    ring = Ring(1_024, 1_048_576)
    benchmark(ring.append, DATA, None, T_IN, T_IN)
    assert ring.sequence >= 1


def test_resume_from_the_ring(benchmark: BenchmarkFixture) -> None:
    ring = Ring(1_024, 1_048_576)
    for _ in range(1_024):
        ring.append(DATA, None, T_IN, T_IN)
    missed = benchmark(ring.after, 1_000)
    assert missed is not None
    assert len(missed) == 24


@pytest.mark.parametrize("gathered", [1, 10])
def test_updates_to_a_thousand_sockets(benchmark: BenchmarkFixture, gathered: int) -> None:
    """A flush with `gathered` updates: each socket gets one write, whatever was gathered."""
    fanout = Fanout(never, never)
    stream = Stream(fanout, TOPIC, "k3f9", delivery=0)
    form: Form = StreamForm()
    sinks = [Sink() for _ in range(SOCKETS)]
    outboxes = [Outbox(fanout, -1, sink, sink) for sink in sinks]
    for outbox in outboxes:
        stream.attach(outbox, form, snapshot=False)

    def flush() -> None:
        for _ in range(gathered):
            stream.publish(DATA, None, T_IN)
        fanout.flush_now()

    flush()
    assert {sink.writes for sink in sinks} == {1}
    benchmark(flush)
    assert fanout.counters()["messages"] == SOCKETS * stream.sequence
