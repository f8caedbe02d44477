"""Rates, percentiles, the status document and the metrics, from counts given by hand."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from gateway.core.key import Key
from gateway.sources.base import WatchStatus
from gateway.stats import SOCKETS, Rates, Sample, Stats, StatsCollector, Tally, quantiles

COUNTERS = {
    "updates": 7,
    "messages": 100,
    "bytes": 5_000,
    "conflated": 3,
    "skipped": 2,
    "send_errors": 1,
    "gaps": 4,
    "overflows": 5,
}


class FakeFanout:
    def __init__(self, buckets: list[tuple[int, int]]) -> None:
        self.counts = dict(COUNTERS)
        self.buckets = buckets

    def counters(self) -> dict[str, int]:
        return self.counts

    def latency_buckets(self) -> list[tuple[int, int]]:
        return self.buckets


class FakeHub:
    late = 9


class FakeSessions:
    def connections(self) -> int:
        return 2

    def subscriptions(self) -> int:
        return 5


class FakeSource:
    name = "sim"

    def status(self) -> list[WatchStatus]:
        def watch(symbol: str, state: str, last: int | None) -> WatchStatus:
            key = Key("sim", "bars", symbol, "1m")
            return WatchStatus(
                key=key, state=state, since_ns=10**9, last_update_ns=last, updates=6, errors=1, restarts=2
            )

        return [watch("A", "live", 3 * 10**9), watch("B", "backoff", None)]


def made(buckets: list[tuple[int, int]] | None = None) -> tuple[Stats, FakeFanout, Tally]:
    fanout, tally = FakeFanout(buckets or []), Tally()
    sources: Any = {"sim": FakeSource()}
    stats = Stats(
        fanned=fanout, published=FakeHub(), connected=FakeSessions(), sources=sources, tally=tally, started_s=100.0
    )
    return stats, fanout, tally


def test_rates_are_over_the_last_seconds() -> None:
    rates = Rates()
    assert rates.per_second() == (0, 0)
    rates.sample(Sample(0.0, 0, 0))
    assert rates.per_second() == (0, 0)
    for second in range(1, 11):
        rates.sample(Sample(float(second), 10 * second, 1_000 * second))
    assert rates.per_second() == (10, 1_000)
    for second in range(11, 17):
        rates.sample(Sample(float(second), 100, 10_000))
    assert rates.per_second() == (0, 0), "what was before the window is forgotten"


def test_quantiles_name_the_bucket() -> None:
    assert quantiles([]) == {"p50": None, "p90": None, "p99": None, "p99_9": None}
    assert quantiles([(10, 900), (20, 90), (40, 9), (80, 1)]) == {"p50": 10, "p90": 10, "p99": 20, "p99_9": 40}


@given(st.lists(st.integers(1, 50), min_size=1, max_size=30))
def test_quantiles_are_those_of_the_sorted_values(counts: list[int]) -> None:
    values = [bound for bound, count in enumerate(counts) for _ in range(count)]
    found = quantiles(list(enumerate(counts)))
    for name, quantile in {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p99_9": 0.999}.items():
        bound = found[name]
        assert bound is not None
        assert sum(value <= bound for value in values) >= quantile * len(values)
        assert sum(value < bound for value in values) < quantile * len(values)


def test_the_status_document() -> None:
    stats, fanout, tally = made([(1_000, 9), (2_000, 1)])
    tally.requests = 11
    tally.errors["unknown_symbol"] += 1
    tally.sockets["refused"] += 1
    stats.sample(100.0)
    fanout.counts = {**COUNTERS, "messages": 300, "bytes": 9_000}
    stats.sample(102.0)
    status = stats.status(110.0, 5 * 10**9)
    assert status["uptime_s"] == 10
    assert (status["connections"], status["subscriptions"], status["requests"]) == (2, 5, 11)
    assert (status["messages_per_s"], status["bytes_per_s"]) == (100, 2_000)
    latency = {"count": 10, "p50": 1_000, "p90": 1_000, "p99": 2_000, "p99_9": 2_000}
    assert status["latency_ns"] == {**latency, "buckets": [(1_000, 9), (2_000, 1)]}
    assert status["drops"] == {"conflated": 3, "slow_consumer": 2, "send_error": 1}
    assert (status["gaps_announced"], status["closed_for_slowness"]) == (4, 5)
    assert status["errors"] == {"unknown_symbol": 1}
    assert status["sockets"] == {**dict.fromkeys(SOCKETS, 0), "refused": 1}
    assert status["late"] == 9
    live, failed = status["watches"]
    key = {"exchange": "sim", "channel": "bars", "symbol": "A", "variant": "1m"}
    counts = {"updates": 6, "errors": 1, "restarts": 2}
    assert live == {**key, "state": "live", "state_age_s": 4.0, "update_age_s": 2.0, **counts}
    assert (failed["state"], failed["update_age_s"]) == ("backoff", None)


def test_what_is_kept_over_time() -> None:
    stats, _, tally = made()
    tally.requests = 11
    tally.errors.update({"rate_limited": 4, "unknown_symbol": 1})
    assert stats.measures() == {
        "connections": 2, "subscriptions": 5, "messages_per_s": 0, "bytes_per_s": 0, "requests": 11, "errors": 5,
        "gaps": 4, "conflated": 3, "skipped": 2, "send_errors": 1,
    }  # fmt: skip


def test_metrics_say_the_same() -> None:
    stats, _, tally = made([(1_000, 9), (3_000_000, 1)])
    tally.errors["rate_limited"] += 4
    registry = CollectorRegistry()
    registry.register(StatsCollector(stats))
    text = generate_latest(registry).decode()
    samples = {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert samples["tickwire_messages_total",] == 100
    assert samples["tickwire_connections",] == 2
    assert samples["tickwire_errors_total", ("code", "rate_limited")] == 4
    assert samples["tickwire_sockets_total", ("outcome", "timed_out")] == 0
    assert samples["tickwire_late_total",] == 9
    assert samples["tickwire_watches", ("exchange", "sim"), ("state", "live")] == 1
    assert samples["tickwire_latency_seconds_bucket", ("le", "1e-06")] == 9
    assert samples["tickwire_latency_seconds_bucket", ("le", "+Inf")] == 10
    assert samples["tickwire_latency_seconds_count",] == 10
    assert samples["tickwire_latency_seconds_sum",] == pytest.approx(0.003009)
