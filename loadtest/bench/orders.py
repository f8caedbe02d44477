"""Workload H: orders through the gateway to the simulated exchange, beside pgbench inserting the same rows.

Knows what is started and in which order. Must not know goals, tables or files.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from loadtest.bench import pgbench, servers
from loadtest.bench.machine import free_port
from loadtest.bench.pgbench import Inserted
from loadtest.outcome import Sample
from loadtest.series import samples
from loadtest.swarm import Buckets, ToolError
from loadtest.watching import watched

NAME = "H"
TITLE = "orders: command in, ack out, one account"
MANY = 32
NAMED = "bench"
NO_LIMIT = 1_000_000
DEFAULT_ACCOUNT = {  # of the simulated exchange, which tells everybody
    "apiKey": "simulated-key-simulated-key-simulated-key-simulated-key-simulate",
    "secret": "simulated-secret-simulated-secret-simulated-secret-simulated-sec",
}


@dataclass(frozen=True)
class Sent:
    """What one run of clients came to."""

    conns: int
    seconds: float
    orders: int
    per_s: float
    p50_ms: float
    p99_ms: float
    failed: int
    first_failure: str
    client_cpu: float
    client_waited: float
    buckets: Buckets = field(default_factory=list)  # how many answers took how long


@dataclass
class OrdersResult:
    """One client and many, of the gateway and of pgbench; pgbench also in the two transactions that the desk needs."""

    alone: Sent
    crowd: Sent
    inserted_alone: Inserted
    inserted: Inserted
    inserted_in_two: Inserted
    rows: int
    samples: list[Sample] = field(default_factory=list)  # of the gateway, with one client and then with many
    notes: list[str] = field(default_factory=list)


def measure(seconds: float, say: Callable[[str], None]) -> OrdersResult:
    """One after another on the same server: whoever is not measured is idle. Five processes share the machine as they
    do where it is used, so nothing is pinned."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tickwire-bench-")))
        folder.chmod(0o755)  # as root the database runs under an account of its own
        exchange = stack.enter_context(servers.exchange(pinned=False))
        server = stack.enter_context(gateway(exchange, folder))
        key = made_key(folder)
        with watched(server, 2 * seconds) as readings:
            say(f"{NAME}: gateway, 1 client")
            alone = sent(server.port, key, 1, seconds)
            say(f"{NAME}: gateway, {MANY} clients")
            crowd = sent(server.port, key, MANY, seconds)
        database = pgbench.Database(folder / "tickwire" / "postgres")
        rows = database.rows_of_last_order()
        database.prepare(rows)
        say(f"{NAME}: pgbench")
        return OrdersResult(
            alone=alone,
            crowd=crowd,
            inserted_alone=database.insert([rows], 1, seconds, folder),
            inserted=database.insert([rows], MANY, seconds, folder),
            inserted_in_two=database.insert([rows[:-1], rows[-1:]], MANY, seconds, folder),
            rows=len(rows),
            samples=samples(readings),
        )


@contextlib.contextmanager
def gateway(exchange: servers.Server, folder: Path, *, more: Sequence[str] = ()) -> Iterator[servers.Server]:
    """As `tickwire serve` starts it, its database in the folder with everything that makes it durable; `more` is lines
    of its configuration."""
    port = free_port()
    text = config_of(port, servers.binance_at(exchange)) + "".join(f"{line}\n" for line in more)
    (folder / "tickwire.toml").write_text(text, encoding="utf-8")
    words = [sys.executable, "-m", "gateway.cli", "serve", "--config", str(folder / "tickwire.toml")]
    with servers.process("gateway", words, cpu=None, more={"XDG_STATE_HOME": str(folder)}) as (pid, log):
        servers.wait_for_port("gateway", pid, port, log)
        yield servers.Server(name="tickwire", pid=pid, port=port, log=log, path="/v1/stream")


def config_of(port: int, options: dict[str, Any]) -> str:
    """Every default kept but those that hold a client back: ours, and ccxt's own limit of requests to an exchange."""
    options = {**options, "enableRateLimit": False}
    lines = [
        f'default_exchange = "{servers.SIMULATED}"',
        "[server]",
        f"port = {port}",
        "[auth]",
        f"key_requests_per_s = {NO_LIMIT}",
        f"key_requests_burst = {NO_LIMIT}",
        "[limits]",
        f"requests_per_s = {NO_LIMIT}",
        f"requests_burst = {NO_LIMIT}",
        f"[exchanges.{servers.SIMULATED}]",
        'class = "binance"',
        f"options = {servers.inline_toml(options)}",
    ]
    return "\n".join(lines) + "\n"


def made_key(folder: Path, exchange: str = servers.SIMULATED) -> str:
    """An account of a simulated exchange and a key that trades on it, made as an operator makes them."""
    tickwire(folder, "user", "add", NAMED)
    tickwire(folder, "account", "add", NAMED, exchange)
    tickwire(folder, "account", "credentials", NAMED, given=json.dumps(DEFAULT_ACCOUNT))
    made = tickwire(folder, "key", "create", NAMED, "--account", NAMED, "--json")
    return str(json.loads(made)["key"])


def tickwire(folder: Path, *words: str, given: str = "") -> str:
    """What one of our commands prints; raises ToolError when it fails."""
    done = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-m", "gateway.cli", *words, "--config", str(folder / "tickwire.toml")],
        input=given, capture_output=True, text=True, check=False,
        env={**servers.environment(), "XDG_STATE_HOME": str(folder)},
    )  # fmt: skip
    if done.returncode:
        raise ToolError(f"tickwire {' '.join(words[:2])} failed: {done.stderr.strip()}")
    return done.stdout


def sent(port: int, key: str, conns: int, seconds: float) -> Sent:
    """Clients in a process of their own."""
    words = [sys.executable, "-m", "loadtest.bench.orders_client"]
    words += [f"ws://127.0.0.1:{port}/v1/stream", "--conns", str(conns), "--seconds", str(seconds)]
    done = subprocess.run(words, input=key, capture_output=True, text=True, check=False)  # noqa: S603 - our own program
    if done.returncode:
        raise ToolError(f"the clients failed: {done.stderr.strip()[-1500:]}")
    return Sent(**json.loads(done.stdout))
