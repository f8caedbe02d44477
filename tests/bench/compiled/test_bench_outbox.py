"""What one socket costs: to be made, answered, held back, closed and forgotten."""

from __future__ import annotations

from pytest_benchmark.fixture import BenchmarkFixture

from _speedups.frame import close_frame, encode
from _speedups.outbox import Outbox
from tests.bench.compiled.parts import Sink, each_once, new_fanout, new_outboxes, new_stream, subscribed
from tests.bench.compiled.reference import measures

SOCKETS = 100
STREAMS = 10
CLOSING = close_frame(1001, "bye")


def with_subscriptions() -> list[Outbox]:
    """Sockets with some streams each."""
    fanout = new_fanout()
    outboxes = new_outboxes(fanout, SOCKETS)
    for _ in range(STREAMS):
        subscribed(new_stream(fanout), outboxes)
    return outboxes


@measures("outbox.Outbox")
def test_new_outbox(benchmark: BenchmarkFixture) -> None:
    fanout, sink = new_fanout(), Sink()
    assert not benchmark(Outbox, fanout, -1, sink, sink).blocked


@measures("outbox.Outbox.reply")
def test_reply(benchmark: BenchmarkFixture) -> None:
    sink = Sink()
    benchmark(Outbox(new_fanout(), -1, sink, sink).reply, encode(1, bytes(100)))
    assert sink.writes


@measures("outbox.Outbox.pause")
def test_pause(benchmark: BenchmarkFixture) -> None:
    (outbox,) = new_outboxes(new_fanout(), 1)
    benchmark(outbox.pause)
    assert outbox.blocked


@measures("outbox.Outbox.resume")
def test_resume_with_nothing_waiting(benchmark: BenchmarkFixture) -> None:
    (outbox,) = new_outboxes(new_fanout(), 1)
    outbox.pause()
    benchmark(outbox.resume)
    assert not outbox.blocked


@measures("outbox.Outbox.streams")
def test_streams(benchmark: BenchmarkFixture) -> None:
    assert len(benchmark(with_subscriptions()[0].streams)) == STREAMS


@measures("outbox.Outbox.finish")
def test_finish_a_hundred(benchmark: BenchmarkFixture) -> None:
    ended: list[Outbox] = []

    def finish(outboxes: list[Outbox]) -> None:
        for outbox in outboxes:
            outbox.finish(CLOSING)
        ended[:] = outboxes

    each_once(benchmark, finish, with_subscriptions)
    assert all(outbox.finished and not outbox.streams() for outbox in ended)


@measures("outbox.Outbox.discard")
def test_discard_a_hundred(benchmark: BenchmarkFixture) -> None:
    gone: list[Outbox] = []

    def discard(outboxes: list[Outbox]) -> None:
        for outbox in outboxes:
            outbox.discard()
        gone[:] = outboxes

    each_once(benchmark, discard, with_subscriptions)
    assert not any(outbox.streams() for outbox in gone)
