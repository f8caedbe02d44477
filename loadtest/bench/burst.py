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
from typing import Any

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


def replies(load: Load, source: Mapping[str, Any], seconds: float, say: Callable[[str], None]) -> dict[str, float]:
    """The crowd of `load` reads a gateway that also has its order database and an exchange to trade on, in turn beside
    pings and beside orders; raises ToolError when a client does not run to its end."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tickwire-bench-")))
        folder.chmod(0o755)  # as root the database runs under an account of its own
        exchange = stack.enter_context(servers.exchange(ahead=True))
        server = stack.enter_context(orders.gateway(exchange, folder, more=source_lines(source)))
        key = orders.made_key(folder)
        os.sched_setaffinity(server.pid, {server_cpu()})  # the database keeps both: it runs where there is room
        crowd = replace(load, seconds=CROWD_READS_S, messages=(subscribe([f"{servers.SYNTHETIC}:S0/USDT"]),))
        stack.enter_context(swarm_of(server, crowd).in_background())
        say(f"D: gateway with orders, {PROBES} connections time pings during the bursts")
        pings = prober(server, conns=PROBES, every_ms=PROBE_EVERY_MS, warmup_s=1.0, seconds=seconds).run()
        say(f"D: gateway with orders, {ORDERERS} connections time orders during the bursts")
        ordered = sent(server.port, key, ORDERS_LONGER * seconds)
    return {name: pings[name] for name in ("reply_p50_ms", "reply_p99_ms", "replies")} | ordered


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


def named(seen: Mapping[str, Any]) -> dict[str, float]:
    """What the clients printed, beside the figures of pings."""
    return {
        "order_reply_p50_ms": seen["p50_ms"],
        "order_reply_p99_ms": seen["p99_ms"],
        "orders_replied": seen["replied"],
        "orders_failed": seen["failed"],
        "orders_sent_late_p99_ms": seen["sent_late_p99_ms"],
    }
