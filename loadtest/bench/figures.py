"""The figures of a workload that limits are about, by the names that targets.toml has for them.

Pure. Must not know limits, tables or files.
"""

from __future__ import annotations

from collections.abc import Callable

from loadtest.bench import burst, storm
from loadtest.bench.clients import Figures, by_stamp
from loadtest.bench.orders import OrdersResult
from loadtest.bench.workloads import TICK_CHANNELS, Result

TICK_TO_WIRE = "G"  # the workload that is measured by channel
Named = dict[str, float | None]  # None: there was nothing to measure it with


def of_workload(result: Result) -> Named:
    """All that was measured of A to G; what a workload has nothing of is left out."""
    ours = result.gateway
    if ours is None or result.workload.name == TICK_TO_WIRE:
        return _tick_to_wire(result)
    if result.storm is not None:
        return storm.figures(result.storm)
    named: Named = {
        "conns_count": ours.conns,
        **_delivered(result, ours),
        "messages_per_s": ours.msg_s,
        "p50_ms": ours.p50_ms,
        "p99_ms": ours.p99_ms,
        "p999_ms": ours.p999_ms,
        **by_stamp(result.checked or ours),
        "cpu_per_message_us": ours.us_per_msg,
        "memory_per_connection_KiB": ours.kib_per_conn,
        "accept_s": ours.connect_s,
        "p99_of_floor_ratio": _ratio(ours, result.floor, lambda seen: seen.p99_ms),
        "cpu_of_floor_ratio": _ratio(ours, result.floor, lambda seen: seen.us_per_msg),
        **{name: result.extra.get(name) for name in burst.FIGURES},
        "client_cpu_share": ours.client_cpu,
        "client_waited_share": ours.client_waited,
    }
    if result.floor is not None:
        named["client_cpu_at_floor_share"] = result.floor.client_cpu
        named["client_waited_at_floor_share"] = result.floor.client_waited
    if result.unstalled is not None:
        grown_kib = ours.rss_kib - ours.empty_rss_kib - (result.unstalled.rss_kib - result.unstalled.empty_rss_kib)
        named["announced_count"] = ours.announced
        turns = result.p99_of_unstalled
        named["p99_of_unstalled_ratio"] = (
            turns.ratio if turns else _ratio(ours, result.unstalled, lambda seen: seen.p99_ms)
        )
        named["p99_of_unstalled_at_least_ratio"] = turns.at_least if turns else None
        named["p99_of_unstalled_error_ratio"] = turns.error if turns else None
        named["memory_per_stalled_KiB"] = grown_kib / result.extra["stalled"]
    return named


def _tick_to_wire(result: Result) -> Named:
    """The times by channel; nothing of it may be lost, announced or not."""
    seen = list(result.channels.values())
    return {
        **{f"own_share_of_{name}_p50_us": result.extra.get(f"{name}: own share p50 us") for name in TICK_CHANNELS},
        "missing_count": sum((each.unannounced or 0) + (each.announced or 0) + (each.repeated or 0) for each in seen),
        "lost_count": sum(each.conns - each.alive for each in seen),
        **{f"{name}_{of}": ms for name, each in result.channels.items() for of, ms in by_stamp(each).items()},
        "client_cpu_share": max((each.client_cpu for each in seen), default=None),
        "client_waited_share": max((each.client_waited or 0.0 for each in seen), default=None),
    }


def _delivered(result: Result, ours: Figures) -> Named:
    """To the slowest connection that reads, and what any client missed. A gap is a loss of who reads, announced or
    not; of who has stalled it has to be announced."""
    stalled = round(result.extra.get("stalled", 0))
    due = ours.seconds * result.workload.per_conn_s
    offered_s = result.workload.offered_s * (1 - stalled / result.workload.conns)
    seen = [ours, *([result.checked] if result.checked and result.checked is not ours else [])]
    missing = sum((each.unannounced or 0) + (each.repeated or 0) for each in seen)
    missing += sum((each.announced_to_readers if stalled else each.announced) or 0 for each in seen)
    reading = ours.readers_alive if stalled and ours.readers_alive is not None else ours.alive
    return {
        "delivered_share": min(1.0, ours.msg_s / offered_s, (ours.least_per_conn + 1) / due),
        "missing_count": missing,
        "lost_count": ours.conns - stalled - reading,  # who has stalled for long is closed, and may be
    }


def _ratio(ours: Figures, theirs: Figures | None, read: Callable[[Figures], float]) -> float | None:
    return read(ours) / read(theirs) if theirs is not None and read(theirs) else None


def of_orders(result: OrdersResult) -> Named:
    """All that was measured of H: one client's times, many clients' rates."""
    return {
        "p50_ms": result.alone.p50_ms,
        "p99_ms": result.alone.p99_ms,
        "orders_per_s": result.crowd.per_s,
        "of_pgbench_ratio": result.crowd.per_s / result.inserted.per_s,
        "failed_count": result.alone.failed + result.crowd.failed,
        "client_cpu_share": max(result.alone.client_cpu, result.crowd.client_cpu),
        "client_waited_share": max(result.alone.client_waited, result.crowd.client_waited),
    }
