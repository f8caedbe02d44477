"""What the process counted, and what follows from it: rates, percentiles, the status document and the metrics.

Holds numbers and arithmetic; deliveries are counted by the compiled core, and only read here when somebody asks.
Must not know HTTP, sockets, or how a count came about.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from gateway.sources.base import Source

QUANTILES: Final = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p99_9": 0.999}
RATE_WINDOW_S: Final = 5.0  # long enough to be steady, short enough to follow a burst

# Counters of the fan-out that say why a reader did not get an update.
DROPS: Final = {"conflated": "conflated", "skipped": "slow_consumer", "send_errors": "send_error"}

# What becomes of a socket: taken; made a WebSocket; told why not; given up on while its request was awaited; dropped
# unread because there are too many; without the TLS that is spoken here.
SOCKETS: Final = ("accepted", "upgraded", "refused", "timed_out", "dropped", "tls_failed")


class Sample(NamedTuple):
    at_s: float
    messages: int
    bytes: int


class Rates:
    """Messages and bytes per second over the last samples; somebody takes one about every second."""

    def __init__(self) -> None:
        self._samples: deque[Sample] = deque()

    def sample(self, sample: Sample) -> None:
        self._samples.append(sample)
        while len(self._samples) > 2 and self._samples[1].at_s <= sample.at_s - RATE_WINDOW_S:
            self._samples.popleft()

    def per_second(self) -> tuple[float, float]:
        """(messages, bytes)"""
        if len(self._samples) < 2:
            return 0.0, 0.0
        first, last = self._samples[0], self._samples[-1]
        seconds = last.at_s - first.at_s
        return (last.messages - first.messages) / seconds, (last.bytes - first.bytes) / seconds


def quantiles(buckets: Sequence[tuple[int, int]]) -> dict[str, int | None]:
    """The upper bound of the bucket each quantile falls in; null without any measurement."""
    total = sum(count for _, count in buckets)
    found: dict[str, int | None] = dict.fromkeys(QUANTILES)
    for name, quantile in QUANTILES.items():
        seen = 0
        for bound, count in buckets:
            seen += count
            if seen >= quantile * total:
                found[name] = bound
                break
    return found


class Fanned(Protocol):
    """What is read of the fan-out."""

    def counters(self) -> dict[str, int]: ...
    def latency_buckets(self) -> list[tuple[int, int]]: ...


class Published(Protocol):
    """What is read of the hub."""

    @property
    def late(self) -> int: ...


class Connected(Protocol):
    """What is read of the sessions."""

    def connections(self) -> int: ...
    def subscriptions(self) -> int: ...


class Working(Fanned, Protocol):
    """What is read of the other processes, where there are any; `Fanned` is the sum of all."""

    def sockets(self) -> Mapping[str, int]:
        """What became of sockets that they did not hand on."""

    def told(self) -> list[dict[str, Any]]:
        """Each of them."""


class Tally:
    """What sessions and the listener count themselves: requests and sockets are far rarer than deliveries."""

    def __init__(self) -> None:
        self.requests = 0
        self.errors: Counter[str] = Counter()  # by code
        self.sockets: Counter[str] = Counter(dict.fromkeys(SOCKETS, 0))  # by what became of them


class Stats:
    """The one place that is asked how the process is doing."""

    def __init__(
        self,
        *,
        fanned: Fanned,
        published: Published,
        connected: Connected,
        sources: Mapping[str, Source],
        tally: Tally,
        started_s: float,
        expires_s: Callable[[], float] | None = None,
    ) -> None:
        """`expires_s`: when the certificate does, in seconds since the epoch; None without TLS."""
        self.rates = Rates()
        self.workers: Working | None = None  # where there are several processes
        self._own = fanned
        self._published = published
        self._connected = connected
        self._sources = sources
        self._tally = tally
        self._started_s = started_s
        self._expires_s = expires_s

    @property
    def _fanned(self) -> Fanned:
        """The fan-out of all processes."""
        return self.workers or self._own

    def _sockets(self) -> Counter[str]:
        sockets = Counter(self._tally.sockets)
        if self.workers is not None:
            sockets.update(self.workers.sockets())
        return sockets

    def sample(self, now_s: float) -> None:
        counters = self._fanned.counters()
        self.rates.sample(Sample(now_s, counters["messages"], counters["bytes"]))

    def measures(self) -> dict[str, float]:
        """What is worth keeping over time, by name."""
        counters = self._fanned.counters()
        messages_per_s, bytes_per_s = self.rates.per_second()
        return {
            "connections": self._connected.connections(),
            "subscriptions": self._connected.subscriptions(),
            "messages_per_s": messages_per_s,
            "bytes_per_s": bytes_per_s,
            "requests": self._tally.requests,
            "errors": sum(self._tally.errors.values()),
            "gaps": counters["gaps"],
            **{name: counters[name] for name in DROPS},
        }

    def status(self, now_s: float, now_ns: int) -> dict[str, Any]:
        """The status document."""
        counters = self._fanned.counters()
        messages_per_s, bytes_per_s = self.rates.per_second()
        buckets = self._fanned.latency_buckets()
        return {
            "uptime_s": round(now_s - self._started_s, 3),
            "connections": self._connected.connections(),
            "subscriptions": self._connected.subscriptions(),
            "watches": list(self._watches(now_ns)),
            "messages_per_s": round(messages_per_s, 1),
            "bytes_per_s": round(bytes_per_s, 1),
            "latency_ns": {"count": sum(count for _, count in buckets), **quantiles(buckets), "buckets": buckets},
            "drops": {reason: counters[name] for name, reason in DROPS.items()},
            "gaps_announced": counters["gaps"],
            "closed_for_slowness": counters["overflows"],
            "requests": self._tally.requests,
            "errors": dict(self._tally.errors),
            "sockets": dict(self._sockets()),
            "late": self._published.late,
            "counters": counters,
            **({} if self.workers is None else {"workers": self.workers.told()}),
        }

    def _watches(self, now_ns: int) -> Iterator[dict[str, Any]]:
        for source in self._sources.values():
            for watch in source.status():
                updated = watch.last_update_ns
                yield {
                    "exchange": watch.key.exchange,
                    "channel": watch.key.channel,
                    "symbol": watch.key.symbol,
                    "variant": watch.key.variant,
                    "state": watch.state,
                    "state_age_s": _age_s(watch.since_ns, now_ns),
                    "update_age_s": _age_s(updated, now_ns) if updated else None,
                    "updates": watch.updates,
                    "errors": watch.errors,
                    "restarts": watch.restarts,
                }

    def metrics(self) -> Iterator[Metric]:
        """The same numbers for Prometheus."""
        counters = self._fanned.counters()
        for name, count in counters.items():
            yield CounterMetricFamily(f"tickwire_{name}", f"Fan-out: {name.replace('_', ' ')}", value=count)
        yield CounterMetricFamily("tickwire_requests", "Requests of stream clients", value=self._tally.requests)
        errors = CounterMetricFamily("tickwire_errors", "Errors told to clients", labels=["code"])
        for code, count in self._tally.errors.items():
            errors.add_metric([code], count)
        yield errors
        sockets = CounterMetricFamily("tickwire_sockets", "Sockets by what became of them", labels=["outcome"])
        for outcome, count in self._sockets().items():
            sockets.add_metric([outcome], count)
        yield sockets
        late = self._published.late
        yield CounterMetricFamily("tickwire_late", "Updates of a key that nobody watches any more", value=late)
        yield GaugeMetricFamily("tickwire_connections", "Open sockets", value=self._connected.connections())
        yield GaugeMetricFamily("tickwire_subscriptions", "Streams of all", value=self._connected.subscriptions())
        if self.workers is not None:
            yield from _worker_metrics(self.workers.told())
        if self._expires_s is not None:
            name = "tickwire_certificate_expiry_timestamp_seconds"
            yield GaugeMetricFamily(name, "When the certificate expires, since the epoch", value=self._expires_s())
        yield self._watch_metric()
        yield _latency_metric(self._fanned.latency_buckets())

    def _watch_metric(self) -> Metric:
        family = GaugeMetricFamily("tickwire_watches", "Upstream watches", labels=["exchange", "state"])
        states = Counter((source.name, watch.state) for source in self._sources.values() for watch in source.status())
        for (exchange, state), count in states.items():
            family.add_metric([exchange, state], count)
        return family


class StatsCollector(Collector):
    """Registered once; asks for the numbers at each scrape."""

    def __init__(self, stats: Stats) -> None:
        self._stats = stats

    def collect(self) -> Iterable[Metric]:
        return self._stats.metrics()


def _worker_metrics(told: Iterable[Mapping[str, Any]]) -> Iterator[Metric]:
    connections = GaugeMetricFamily("tickwire_worker_connections", "Open sockets of a worker", labels=["worker"])
    messages = CounterMetricFamily("tickwire_worker_messages", "Messages a worker has sent", labels=["worker"])
    starts = CounterMetricFamily("tickwire_worker_starts", "How often a worker was started", labels=["worker"])
    cpu = CounterMetricFamily("tickwire_worker_cpu_seconds", "CPU time of a worker", labels=["worker"])
    for each in told:
        label = [str(each["worker"])]
        connections.add_metric(label, each["connections"])
        messages.add_metric(label, each["messages"])
        starts.add_metric(label, each["starts"])
        cpu.add_metric(label, each["cpu_ms"] / 1000)
    yield from (connections, messages, starts, cpu)


def _age_s(since_ns: int, now_ns: int) -> float:
    return round((now_ns - since_ns) / 1e9, 3)


def _latency_metric(buckets: Sequence[tuple[int, int]]) -> Metric:
    """Cumulative, by powers of two from 1 us, so that every scrape has the same buckets."""
    family = HistogramMetricFamily("tickwire_latency_seconds", "From reading an update to handing it to the kernel")
    bounds_ns = [2**exponent * 1_000 for exponent in range(24)]
    total = sum(count for _, count in buckets)
    cumulative = [
        (str(bound / 1e9), float(sum(count for upper, count in buckets if upper <= bound))) for bound in bounds_ns
    ]
    # The upper bound of a bucket stands for what is in it: the fan-out counts, it does not add up.
    seconds = sum(bound * count for bound, count in buckets) / 1e9
    family.add_metric([], [*cumulative, ("+Inf", float(total))], sum_value=seconds)
    return family
