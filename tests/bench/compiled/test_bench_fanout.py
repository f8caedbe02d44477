"""What an update costs from the hub to a thousand sockets, without the kernel: render, frame, ring, offer, sweep.

The kernel's share (4 to 6 us a send) is measured by `make bench`; here it must not hide ours.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from _speedups.fanout import Fanout, Stream
from _speedups.frame import Form
from _speedups.outbox import Outbox
from tests.bench.compiled.parts import (
    DATA,
    EPOCH,
    FORM,
    T_IN,
    TOPIC,
    Sink,
    each_once,
    never,
    new_fanout,
    new_outboxes,
    new_stream,
    subscribed,
)
from tests.bench.compiled.reference import measures

SOCKETS = 1_000
DEPTH = 1_024
Joining = tuple[Stream, list[Outbox]]


def a_crowd() -> Joining:
    """A stream and those who do not listen to it yet."""
    fanout = new_fanout()
    return new_stream(fanout, 1), new_outboxes(fanout, SOCKETS)


def a_crowd_that_returns(kept: list[Stream]) -> Joining:
    """The same, who listened to another stream before, to be kept: so what they need is memory that was in use.

    Of new memory each page costs a fault, a quarter of the time of joining, and whether it is new is decided by what
    the process has run before.
    """
    stream, outboxes = a_crowd()
    other = new_stream(new_fanout())
    subscribed(other, [*outboxes, *new_outboxes(new_fanout(), 1)])  # who stays holds the memory for us
    for outbox in outboxes:
        other.detach(outbox, FORM)
    kept.append(other)
    return stream, outboxes


def a_joined_crowd() -> Joining:
    stream, outboxes = a_crowd()
    return stream, subscribed(stream, outboxes)


@measures("fanout.Fanout")
def test_new_fanout(benchmark: BenchmarkFixture) -> None:
    assert benchmark(Fanout, never, never).counters()["updates"] == 0


@measures("outbox.Sweeper.urge")
def test_urge(benchmark: BenchmarkFixture) -> None:
    fanout = new_fanout()
    assert benchmark(fanout.urge, 1) is None


@measures("fanout.Stream")
def test_new_stream(benchmark: BenchmarkFixture) -> None:
    fanout = new_fanout()
    assert benchmark(lambda: Stream(fanout, TOPIC, EPOCH, delivery=0)).sequence == 0


@measures("fanout.Stream.publish")
def test_publish_with_nobody_listening(benchmark: BenchmarkFixture) -> None:
    assert benchmark(new_stream(new_fanout(), DEPTH).publish, DATA, None, T_IN) > DEPTH


@measures("fanout.Stream.publish_whole")
def test_publish_a_whole_state_with_nobody_listening(benchmark: BenchmarkFixture) -> None:
    assert benchmark(new_stream(new_fanout(), DEPTH).publish_whole, DATA, None, T_IN) > DEPTH


@pytest.mark.parametrize("gathered", [1, 10])
@measures("fanout.Fanout.flush_now")
def test_updates_to_a_thousand_sockets(benchmark: BenchmarkFixture, gathered: int) -> None:
    """A flush with `gathered` updates: each socket gets one write, whatever was gathered."""
    fanout = new_fanout()
    stream = new_stream(fanout)
    sinks = [Sink() for _ in range(SOCKETS)]
    subscribed(stream, [Outbox(fanout, -1, sink, sink) for sink in sinks])

    def flush() -> None:
        for _ in range(gathered):
            stream.publish(DATA, None, T_IN)
        fanout.flush_now()

    flush()
    assert {sink.writes for sink in sinks} == {1}
    benchmark(flush)
    assert fanout.counters()["messages"] == SOCKETS * stream.sequence


@measures("fanout.Fanout.settle")
def test_an_update_that_comes_alone(benchmark: BenchmarkFixture) -> None:
    fanout = Fanout(never, never, settle_us=0)
    stream = new_stream(fanout)
    subscribed(stream, new_outboxes(fanout, 1))

    def tick() -> None:
        stream.publish(DATA, None, T_IN)
        fanout.settle()

    benchmark(tick)
    assert fanout.counters()["messages"] == stream.sequence


def by_all(method: Callable[[Stream, Outbox, Form], object], streams: list[Stream]) -> Callable[[Joining], None]:
    """What each of a crowd does with its stream, which is kept."""

    def run(crowd: Joining) -> None:
        stream, outboxes = crowd
        for outbox in outboxes:
            method(stream, outbox, FORM)
        streams.append(stream)

    return run


@measures("fanout.Stream.attach")
def test_a_thousand_join(benchmark: BenchmarkFixture) -> None:
    streams: list[Stream] = []
    each_once(benchmark, by_all(Stream.attach, streams), lambda: a_crowd_that_returns(streams))
    assert streams[-1].subscribers == SOCKETS


@measures("fanout.Stream.detach")
def test_a_thousand_leave(benchmark: BenchmarkFixture) -> None:
    streams: list[Stream] = []
    each_once(benchmark, by_all(Stream.detach, streams), a_joined_crowd)
    assert streams[-1].subscribers == 0


def tells_a_thousand(benchmark: BenchmarkFixture, act: Callable[[Stream], None]) -> Stream:
    """Measure what everybody is told of; the last stream, once it is seen that they were."""
    made: list[Joining] = []

    def a_crowd_to_tell() -> Joining:
        made[:] = [a_joined_crowd()]
        assert not any(outbox.queued_bytes for outbox in made[0][1])
        return made[0]

    def tell(crowd: Joining) -> None:
        act(crowd[0])

    each_once(benchmark, tell, a_crowd_to_tell)
    stream, outboxes = made[0]
    assert all(outbox.queued_bytes for outbox in outboxes)
    return stream


@measures("fanout.Stream.reset")
def test_a_reset_that_a_thousand_are_told(benchmark: BenchmarkFixture) -> None:
    stream = tells_a_thousand(benchmark, lambda stream: stream.reset("m7d2", "source_restart"))
    assert (stream.epoch, stream.sequence, stream.subscribers) == ("m7d2", 0, SOCKETS)


@measures("fanout.Stream.skip")
def test_a_number_skipped_that_a_thousand_are_told(benchmark: BenchmarkFixture) -> None:
    stream = tells_a_thousand(benchmark, lambda stream: stream.skip(stream.sequence + 1, "slow_client"))
    assert (stream.epoch, stream.sequence, stream.subscribers) == (EPOCH, 2, SOCKETS)


@measures("fanout.Stream.resend")
def test_resend(benchmark: BenchmarkFixture) -> None:
    fanout = new_fanout()
    stream = new_stream(fanout, DEPTH)
    (outbox,) = subscribed(stream, new_outboxes(fanout, 1))

    def resend() -> int:
        sent = stream.resend(outbox, 500, 523)
        fanout.flush_now()
        return sent

    assert benchmark(resend) == 24


@measures("fanout.Stream.ring")
def test_ring(benchmark: BenchmarkFixture) -> None:
    assert len(benchmark(new_stream(new_fanout(), DEPTH).ring, 1_000)) == 24


@measures("fanout.Stream.subscribers")
def test_subscribers(benchmark: BenchmarkFixture) -> None:
    stream, _ = a_joined_crowd()
    assert benchmark(lambda: stream.subscribers) == SOCKETS


@measures("fanout.Fanout.counters")
def test_counters(benchmark: BenchmarkFixture) -> None:
    assert benchmark(new_fanout().counters)["updates"] == 0


@measures("fanout.Fanout.latency_buckets")
def test_latency_buckets(benchmark: BenchmarkFixture) -> None:
    fanout = new_fanout()
    stream = new_stream(fanout)
    subscribed(stream, new_outboxes(fanout, 1))
    stream.publish(DATA, None, T_IN)
    fanout.flush_now()
    assert len(benchmark(fanout.latency_buckets)) == 1
