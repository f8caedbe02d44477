"""Subscribers of many kinds at once for as long as wanted, while their exchange has its faults: the swarm reads, a few
of it slowly or not at all, programs come and go, and a probe asks whether the service is there.

Holds what is started together, and which figures that gives. The server's memory, CPU and messages are read all the
while. Must not know limits, nor what is shown.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from loadtest import calm, hands, histogram, series, swarm, unrest, uptime, whole
from loadtest.bench.machine import client_cpu, core_idle_s, on_cpu
from loadtest.bench.servers import Server
from loadtest.flow import Flowed
from loadtest.outcome import Curve, Sample
from loadtest.swarm import Buckets, Swarm, ToolError, last_json_line, raise_open_files
from loadtest.unrest import Injected
from loadtest.uptime import Announced, Slot
from loadtest.watching import watched

WARMUP_S = 3.0
AUDIT_S = 3.0  # those who stalled read again, so that what they missed is held against what was announced
ENDS_WITHIN_S = 60.0  # of its time, a client that does not is given up
LIVE_WITHIN_S = 30.0
ASKED_EVERY_S = 0.2
NAMED_MARKETS = 10  # of the exchange, before those whose names are counted
MARKET = "SIM%04d/USDT"
MISSED = ("announced", "resynced", "unannounced", "behind")  # of what is durable nothing is excused
STALE_AFTER_MS = {"quotes": 3_000}  # so that a silence need not take half a minute


@dataclass(frozen=True)
class Mix:
    """Who is there."""

    conns: int  # that read all the time
    slow: int  # that read a little now and then
    stalled: int  # that stop reading after they are up
    reconnecting: int  # that lose their connection every few seconds and begin anew
    resuming: int  # likewise, and go on where they were
    resubscribing: int  # that subscribe anew every few seconds
    programs: int  # that come and go
    owners: int  # programs with a key that read an account which trades each second
    symbols: int
    rate: float  # what happens a second in each market: a seventh of it are trades
    faults_every_s: float
    minutes: float

    @property
    def seconds(self) -> float:
        return 60 * self.minutes

    @property
    def all(self) -> int:
        """The compiled client's connections."""
        return self.conns + self.slow + self.stalled + self.reconnecting + self.resuming + self.resubscribing

    @property
    def names(self) -> list[str]:
        return [MARKET % number for number in range(NAMED_MARKETS + 1, NAMED_MARKETS + self.symbols + 1)]


@dataclass(frozen=True)
class Mixed:
    """What came of it."""

    figures: dict[str, float | None]
    samples: list[Sample]
    curve: Curve
    notes: list[str]


@dataclass(frozen=True)
class Seen:
    """What each of them printed, and what was done to the exchange meanwhile."""

    read: dict[str, float]  # the swarm
    came: dict[str, Any]  # the programs
    probed: dict[str, Any]
    injected: Sequence[Injected] = ()
    samples: Sequence[Sample] = ()
    client_core_share: float = 0.0  # of the core of them all, and of the exchange
    calm: Buckets = field(default_factory=list)  # latency from the exchange's time, without faults


def measure(mix: Mix, say: Callable[[str], None]) -> Mixed:
    """One exchange, one gateway, and all of them on it; raises ToolError when one of them cannot run or does not
    end."""
    raise_open_files()
    with (
        unrest.exchange(NAMED_MARKETS + mix.symbols, mix.rate) as exchange,
        whole.gateway(exchange.server, stale_after_ms=STALE_AFTER_MS) as (server, key_file),
    ):
        say(
            f"{mix.all} connections, {mix.conns} of them readers, {mix.programs} programs and {mix.owners} of an "
            f"account, a fault every {mix.faults_every_s:g} s, {mix.minutes:g} minutes"
        )
        with ThreadPoolExecutor(3) as pool, watched(server, mix.seconds) as readings:
            idle_s, began_s = core_idle_s(client_cpu()), time.monotonic()
            reading = pool.submit(_swarm(server, mix).run_to_lines)
            limit_s = mix.seconds + ENDS_WITHIN_S
            churn = pool.submit(last_json_line, command("churn", server, mix, key_file), timeout_s=limit_s)
            probe = pool.submit(last_json_line, command("probe", server, mix), timeout_s=limit_s)
            until_live(server)
            left_s = mix.seconds - (time.monotonic() - began_s)
            at_s = unrest.times(left_s, mix.faults_every_s, uptime.RECOVERY_S)
            with unrest.restless(exchange, at_s) as injected:
                came, probed = churn.result(), probe.result()
            idle_s, spent_s = core_idle_s(client_cpu()) - idle_s, time.monotonic() - began_s
            lines = reading.result()
    samples, (read, buckets) = series.samples(readings), swarm.read(lines)
    seen = Seen(read, came, probed, injected, samples, 1 - idle_s / spent_s, calm.buckets(lines, injected))
    return Mixed(figures(mix, seen), samples, histogram.curve(buckets), notes(seen))


def until_live(server: Server) -> None:
    """Until updates are sent: while an exchange is being connected for the first time nothing is promised. Raises
    ToolError when none are."""
    gives_up_s = time.monotonic() + LIVE_WITHIN_S
    while server.status().messages == 0:
        if time.monotonic() > gives_up_s:
            raise ToolError(f"the gateway sent nothing within {LIVE_WITHIN_S:.0f} s")
        time.sleep(ASKED_EVERY_S)


def _swarm(server: Server, mix: Mix) -> Swarm:
    return Swarm(
        port=server.port,
        conns=mix.all,
        messages=hands.messages(MARKET),
        deal=hands.SIZE,
        apart=True,
        tell_every_ms=calm.TOLD_EVERY_MS,
        index_modulus=mix.symbols,
        index_first=NAMED_MARKETS + 1,
        warmup_s=WARMUP_S,
        seconds=mix.seconds,
        server_pid=server.pid,
        stalled=mix.stalled,
        slow=mix.slow,
        reconnecting=mix.reconnecting,
        resuming=mix.resuming,
        resubscribing=mix.resubscribing,
        audit_s=AUDIT_S if mix.stalled or mix.slow else 0.0,
        prefix=on_cpu(client_cpu()),
    )


def command(what: str, server: Server, mix: Mix, key_file: Path | None = None) -> list[str]:
    """The command line of the programs, who have a key, or of the probe, on the client's core."""
    url = f"ws://127.0.0.1:{server.port}{server.path}"
    words = [*on_cpu(client_cpu()), sys.executable, "-m", f"loadtest.{what}", url, *mix.names]
    words += ["--seconds", str(mix.seconds)]
    if key_file is not None:
        words += ["--programs", str(mix.programs), "--owners", str(mix.owners)]
        words += ["--account", str(whole.ACCOUNT), "--key-file", str(key_file)]
    return words


def figures(mix: Mix, seen: Seen) -> dict[str, float | None]:
    """By the names that limits have."""
    read, came, probed, owned = seen.read, seen.came, seen.probed, seen.came["of_account"]
    missed = came["announced"] + came["unannounced"] + came["behind"]
    all_told = {name: count + owned[name] for name, count in came.items() if isinstance(count, int)}
    tries = all_told["connects"] + all_told["reconnects"] + mix.all + read["reconnects"]
    failed = all_told["failures"] - all_told["lost"] + read["failed"]
    again, is_back = (all_told[name] + read[name] for name in ("reconnects", "reconnected"))
    slope = series.memory_slope(seen.samples)
    return {
        "conns_count": mix.conns,
        "unannounced_count": read["unannounced"] + all_told["unannounced"] + probed["unannounced"],
        "repeated_count": read["repeated"] + all_told["repeated"] + probed["repeated"],
        "announced_count": read["announced"] + all_told["announced"] + probed["announced"],
        "misfit_updates_count": read["misfit"] + all_told["misfit"] + probed["misfit"],
        "behind_count": read["behind"] + all_told["behind"],
        "silent_streams_count": read["silent"],
        # Who stalls for long is closed, and may be.
        "lost_count": mix.conns - read["readers_alive"] + all_told["lost"] + len(probed["failures"]),
        "delivered_share": _share(
            read["msgs"], read["announced_to_readers"] + read["unannounced"] + read["behind_to_readers"]
        ),
        "delivered_to_programs_share": _share(came["updates"], missed),
        "delivered_to_owners_share": _share(owned["updates"], sum(owned[name] for name in MISSED)),
        "private_updates_count": owned["updates"],
        "private_resumed_per_s": owned["resumed"] / mix.seconds,
        "trades_on_account_per_s": owned["trades"] / mix.seconds,
        "trades_failed_count": len(owned["trades_failed"]),
        "trades_told_share": owned["orders_dealt_min"] / owned["trades"] if owned["trades"] else 0.0,
        "delivered_with_resync_share": _share(came["updates"], missed + came["resynced"]),
        "reconnect_success_share": is_back / again if again else 0.0,
        "handshakes_given_up_count": read["given_up"],
        "refused_subscriptions_count": read["refused"],
        "connect_failures_share": failed / tries if tries else 1.0,
        "resumed_count": came["resumed"] + read["resumed"],
        "resubscribed_count": came["deeds"].get("change", 0) + read["resubscribed"],
        "resumed_too_late_count": came["too_late"] + read["too_late"],
        "not_recovered_count": all_told["not_recovered"] + read["not_recovered"],
        "resynced_count": came["resynced"],
        **_by_channel(read),
        **_of_service(seen),
        "messages_per_s": read["msg_s"],
        **_latencies(seen),
        "cpu_per_message_us": read["server_us_per_msg"],
        "client_cpu_share": read["client_cpu"],
        "client_waited_share": read["client_waited"],
        "client_cpu_core_share": seen.client_core_share,
        "memory_slope_KiB_per_h": slope.kib_per_h if slope else None,
        "memory_slope_error_KiB_per_h": slope.error_kib_per_h if slope else None,
        "memory_slope_beyond_noise_KiB_per_h": series.leak_kib_per_h(seen.samples),
        "memory_leak_seen_KiB_per_h": series.leak_seen_kib_per_h(seen.samples),
        "memory_grown_KiB": series.memory_grown_kib(seen.samples),
    }


def _by_channel(read: dict[str, float]) -> dict[str, float | None]:
    """What readers had of each channel, and which share that is of what they were due."""
    counted = {what: hands.by_name(read, what) for what in ("msgs", "announced", "unannounced", "behind")}
    named: dict[str, float | None] = {}
    for name, had in counted["msgs"].items():
        named[f"{name}_count"] = had
        named[f"delivered_{name}_share"] = _share(had, sum(counted[what][name] for what in list(counted)[1:]))
    return named


def _latencies(seen: Seen) -> dict[str, float | None]:
    """Of readers: from `t_in`, of streams that are not throttled; from `t_out`, of all; and from the exchange's time,
    in which its faults are."""
    read = seen.read
    return {
        "p50_ms": read["p50_ms"],
        "p99_ms": read["p99_ms"],
        "p999_ms": read["p999_ms"],
        "throttled_p50_ms": read["throttled_p50_ms"],
        "throttled_p99_ms": read["throttled_p99_ms"],
        "from_t_out_p50_ms": read["out_p50_ms"],
        "from_t_out_p99_ms": read["out_p99_ms"],
        "from_exchange_p50_ms": read["ex_p50_ms"],
        "from_exchange_p99_ms": read["ex_p99_ms"],
        "from_exchange_without_faults_p50_ms": calm.percentile_ms(seen.calm, 0.5),
        "from_exchange_without_faults_p99_ms": calm.percentile_ms(seen.calm, 0.99),
    }


def _of_service(seen: Seen) -> dict[str, float | None]:
    """Uptime and faults, as the probe saw them."""
    slots = [Slot(*slot) for slot in seen.probed["slots"]]
    gaps = [Announced(*gap) for gap in seen.probed["gaps"]]
    flows = {channel: Flowed(*flowed) for channel, flowed in seen.probed["flow"].items()}
    return {
        **{f"{channel}_per_s": flowed.per_s for channel, flowed in flows.items()},
        **{f"{channel}_silence_max_s": flowed.silence_s for channel, flowed in flows.items()},
        "uptime_share": uptime.share_up(slots, seen.injected),
        "excused_share": uptime.share_excused(slots, seen.injected),
        "faults_count": len(seen.injected),
        "kinds_of_faults_count": len({fault.kind for fault in seen.injected}),
        "faults_unannounced_count": len(uptime.unannounced(seen.injected, gaps, seen.probed["streams"])),
        "gaps_without_fault_count": uptime.outside(seen.injected, gaps),
        "recovery_max_s": uptime.recovery_max_s(slots, seen.injected),
    }


def _share(had: float, missed: float) -> float:
    return had / (had + missed) if had else 0.0


def notes(seen: Seen) -> list[str]:
    """What figures do not say: who did what, and the first things that went wrong."""
    came, probed = seen.came, seen.probed
    deeds = ", ".join(f"{name} {count}" for name, count in came["deeds"].items())
    said = [f"the programs' deeds: {deeds}; {came['resumed']} streams resumed, {came['replayed']} updates replayed"]
    owned = came["of_account"]
    said.append(f"the account: {owned['trades']} trades, {owned['resumed']} resumes, {owned['replayed']} replayed")
    kinds = Counter(fault.kind for fault in seen.injected)
    if kinds:
        said.append("faults of the exchange: " + ", ".join(f"{count} x {kind}" for kind, count in kinds.items()))
    gaps = [Announced(*gap) for gap in probed["gaps"]]
    silent = uptime.unannounced(seen.injected, gaps, probed["streams"])
    said += [f"not announced to all: {fault.kind}" for fault in silent]
    failures = [*came["first_failures"], *owned["first_failures"], *owned["trades_failed"]]
    said += [f"a program: {failure}" for failure in failures]
    return said + [f"the probe: {failure}" for failure in probed["failures"][:5]]
