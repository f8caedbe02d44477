"""D's second phase: while a crowd on one key gets its bursts, connections of their own time pings, then orders.

Holds what is started together, and which figures that gives. Must not know limits, nor what is shown.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from loadtest.bench import orders, servers
from loadtest.bench.clients import Load, prober, swarm_of
from loadtest.bench.machine import client_cpu, on_cpu, realtime, server_cpu
from loadtest.swarm import ToolError, subscribe

PROBES = 8  # connections that time pings
PROBE_EVERY_MS = 17  # each stays under the request limit, and drifts against the bursts
ORDERERS = 2  # connections that send orders
ORDER_EVERY_MS = 67  # each; it drifts against the bursts, too
ORDERS_LONGER = 3  # than pings, of which there are many more a second
CROWD_READS_S = 600.0  # the crowd is ended by us, long before
PINGS_TAKE_S = 4.0  # at most, beside what they are timed for: their process, its connections and its warm-up
MISSING: Final = ("announced", "unannounced", "repeated", "behind", "epochs")
FIGURES: Final = (
    *("reply_p50_ms", "reply_p99_ms", "replied_share", "order_reply_p50_ms", "order_reply_p99_ms"),
    *("orders_replied_share", "orders_replied_count", "orders_failed_count", "orders_sent_late_p99_ms"),
    *("p99_beside_orders_ms", "missing_beside_orders_count", "lost_beside_orders_count"),
    *(f"client_{what}_of_{who}_share" for who in ("pings", "orders", "crowd") for what in ("cpu", "waited")),
)


def replies(load: Load, source: Mapping[str, Any], seconds: float, say: Callable[[str], None]) -> dict[str, float]:
    """The crowd of `load` reads a gateway that also has its order database and an exchange to trade on, in turn beside
    pings and beside orders, and is itself measured beside these. All of FIGURES; raises ToolError when a client does
    not run to its end."""
    pings: dict[str, float] = {}
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tickwire-bench-")))
        folder.chmod(0o755)  # as root the database runs under an account of its own
        exchange = stack.enter_context(servers.exchange(ahead=True))
        server = stack.enter_context(orders.gateway(exchange, folder, more=source_lines(source)))
        key = orders.made_key(folder)
        os.sched_setaffinity(server.pid, {server_cpu()})  # the database keeps both: it runs where there is room

        def time_pings() -> None:
            say(f"D: gateway with orders, {PROBES} connections time pings during the bursts")
            pings.update(prober(server, conns=PROBES, every_ms=PROBE_EVERY_MS, warmup_s=1.0, seconds=seconds).run())

        messages = (subscribe([f"{servers.SYNTHETIC}:S0/USDT"]),)
        crowd = replace(load, warmup_s=seconds + PINGS_TAKE_S, seconds=CROWD_READS_S, messages=messages)
        ended = stack.enter_context(swarm_of(server, crowd).measuring(time_pings))
        say(f"D: gateway with orders, {ORDERERS} connections time orders during the bursts")
        ordered = sent(server.port, key, ORDERS_LONGER * seconds)
        read, _buckets = ended()
    return of_pings(pings, seconds) | ordered | of_crowd(read, load.conns)


def source_lines(source: Mapping[str, Any]) -> list[str]:
    """The crowd's exchange, in the configuration of a gateway that has another one to trade on."""
    return [
        f"[exchanges.{servers.SYNTHETIC}]",
        'class = "synthetic"',
        f"options = {servers.inline_toml(dict(source))}",
    ]


def sent(port: int, key: str, seconds: float) -> dict[str, float]:
    """Orders from a process of their own, ahead of the crowd on its core, as pings are."""
    words = [*realtime(), *on_cpu(client_cpu()), sys.executable, "-m", "loadtest.bench.orders_due"]
    words += [f"ws://127.0.0.1:{port}/v1/stream", "--conns", str(ORDERERS), "--every-ms", str(ORDER_EVERY_MS)]
    words += ["--seconds", str(seconds)]
    done = subprocess.run(words, input=key, capture_output=True, text=True, check=False)  # noqa: S603 - our own program
    if done.returncode:
        raise ToolError(f"the clients failed: {done.stderr.strip()[-1500:]}")
    return named(json.loads(done.stdout))


def of_pings(seen: Mapping[str, float], seconds: float) -> dict[str, float]:
    """What the compiled client printed. Of each connection one ping may be on its way as the time ends."""
    due = PROBES * seconds * 1e3 / PROBE_EVERY_MS
    return {
        "reply_p50_ms": seen["reply_p50_ms"],
        "reply_p99_ms": seen["reply_p99_ms"],
        "replied_share": min(1.0, (seen["replies"] + PROBES) / due) if seen["replies"] else 0.0,
        "client_cpu_of_pings_share": seen["client_cpu"],
        "client_waited_of_pings_share": seen["client_waited"],
    }


def named(seen: Mapping[str, Any]) -> dict[str, float]:
    """What the clients that order printed."""
    return {
        "order_reply_p50_ms": seen["p50_ms"],
        "order_reply_p99_ms": seen["p99_ms"],
        "orders_replied_share": seen["replied"] / seen["due"] if seen["due"] else 0.0,
        "orders_replied_count": seen["replied"],
        "orders_failed_count": seen["failed"],
        "orders_sent_late_p99_ms": seen["sent_late_p99_ms"],
        "client_cpu_of_orders_share": seen["client_cpu"],
        "client_waited_of_orders_share": seen["client_waited"],
    }


def of_crowd(seen: Mapping[str, float], conns: int) -> dict[str, float]:
    """What everybody else had while orders were sent; a gap is a loss, announced or not."""
    return {
        "p99_beside_orders_ms": seen["p99_ms"],
        "missing_beside_orders_count": sum(seen[name] for name in MISSING),
        "lost_beside_orders_count": conns - seen["alive"],
        "client_cpu_of_crowd_share": seen["client_cpu"],
        "client_waited_of_crowd_share": seen["client_waited"],
    }
