"""A gateway with everything on: market data of one exchange, and an account on another, which a key may read.

Holds how such a gateway is configured, started and given its account. Must not know who reads it. The account has an
exchange of its own, since one that fails takes no orders, and one that is restarted has forgotten them.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from loadtest.bench import orders, servers
from loadtest.bench.machine import free_port, rss_kib, server_cpu
from loadtest.bench.servers import Server

TRADED = "desk"  # the exchange that the account is on
ACCOUNT = 1  # the first that is made
KEY = "key"  # the file of the key that trades on it


class Whole(NamedTuple):
    """A running one."""

    server: Server
    key_file: Path


@contextmanager
def gateway(market: Server, *, stale_after_ms: Mapping[str, int]) -> Iterator[Whole]:
    """As `tickwire serve` starts it, on the server's core; its database has the cores that it leaves. Raises ToolError
    when one of them does not start."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tickwire-whole-")))
        folder.chmod(0o755)  # as root the database runs under an account of its own
        traded = stack.enter_context(servers.exchange())
        port = free_port()
        (folder / "tickwire.toml").write_text(config_of(port, market, traded, stale_after_ms), encoding="utf-8")
        words = [sys.executable, "-m", "gateway.cli", "serve", "--config", str(folder / "tickwire.toml")]
        more = {"XDG_STATE_HOME": str(folder)}
        pid, log = stack.enter_context(servers.process("gateway", words, cpu=None, more=more))
        servers.wait_for_port("gateway", pid, port, log)
        os.sched_setaffinity(pid, {server_cpu()})
        key_file = folder / KEY
        key_file.touch(0o600)
        key_file.write_text(orders.made_key(folder, TRADED), encoding="ascii")
        yield Whole(Server("tickwire", pid, port, log, path="/v1/stream", empty_rss_kib=rss_kib(pid)), key_file)


def config_of(port: int, market: Server, traded: Server, stale_after_ms: Mapping[str, int]) -> str:
    """Every default kept; market data is of the default exchange."""
    lines = [f"default_exchange = {servers.inline_toml(servers.SIMULATED)}", "[server]", f"port = {port}"]
    lines += exchange_of(servers.SIMULATED, market, {"stale_after_ms": dict(stale_after_ms)})
    lines += exchange_of(TRADED, traded, {})
    return "\n".join(lines) + "\n"


def exchange_of(name: str, server: Server, more: Mapping[str, Any]) -> list[str]:
    """A simulated exchange behind ccxt's own class."""
    said = {"class": "binance", "options": servers.binance_at(server), **more}
    return [f"[exchanges.{name}]", *(f"{key} = {servers.inline_toml(value)}" for key, value in said.items())]
