"""Workload F: thousands connect at once, each with a token, while A runs; then all of them are dropped and come back.

Holds what is started together, how the clients get their tokens, and which figures that gives. Must not know limits,
nor what is shown.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import secrets
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from loadtest.bench import servers
from loadtest.bench.clients import Figures, Load, by_stamp, from_swarm
from loadtest.bench.machine import client_cpu, free_port, on_cpu, rss_kib, server_cpu
from loadtest.bench.orders import NAMED, NO_LIMIT, tickwire
from loadtest.bench.servers import Server
from loadtest.series import samples
from loadtest.swarm import Swarm, raise_open_files, subscribe
from loadtest.watching import watched

IN_FLIGHT = 512  # handshakes: a client that has lost its connection does not wait for others
WARMUP_S = 1.5
STAYS_S = 0.5  # who has come reads for so long before all are dropped
QUIET = "quiet"  # the exchange that those who come read: their updates are not what is measured
QUIET_SYMBOLS = 200
QUIET_RATE = 1.0  # updates a second of each symbol
ISSUER = "loadtest"
TOKEN_S = 600


@dataclass(frozen=True)
class Storm:
    """Who reads all the time, and how many come at once."""

    readers: int
    comers: int
    rate: float  # updates a second of what the readers read


@dataclass(frozen=True)
class Weathered:
    """What came of it: who read, as other workloads have it, and what the client of those who came printed."""

    storm: Storm
    readers: Figures
    came: dict[str, float]


def measure(storm: Storm, say: Callable[[str], None]) -> Weathered:
    """One gateway, with all of them on it; raises ToolError when a client does not run to its end. What readers are
    measured by begins with the storm and ends with it."""
    raise_open_files()
    with tempfile.TemporaryDirectory(prefix="tickwire-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # as root the database runs under an account of its own
        with gateway(folder, storm.rate) as server:
            key_id = int(made_key(folder)["id"])
            tokens = folder / "tokens"
            tokens.write_text("\n".join(made_tokens(folder / "secret", key_id, 2 * storm.comers)), encoding="ascii")
            say(f"F: {storm.comers} connections at once, each with a token, while {storm.readers} read")
            reading = swarm(server, storm.readers, "S0/USDT", warmup_s=WARMUP_S, seconds=NO_LIMIT)
            with watched(server, STAYS_S) as readings, reading.measuring() as ended:
                came = swarm(
                    server, storm.comers, f"{QUIET}:S%d/USDT", warmup_s=0.0, seconds=STAYS_S, tokens=tokens, again=True
                ).run()
                read, buckets = ended()
            lasted_s = read["msgs"] / read["msg_s"] if read["msg_s"] else 0.0
            readers = from_swarm(server, Load(conns=storm.readers, seconds=lasted_s), read, buckets)
            return Weathered(storm, replace(readers, samples=samples(readings)), came)


def swarm(
    server: Server, conns: int, symbol: str, *, warmup_s: float, seconds: float, tokens: Path | None = None,
    again: bool = False,
) -> Swarm:  # fmt: skip
    """Clients on the client's core."""
    return Swarm(
        port=server.port, conns=conns, messages=(subscribe([symbol]),), in_flight=IN_FLIGHT, warmup_s=warmup_s,
        seconds=seconds, server_pid=server.pid, prefix=on_cpu(client_cpu()), tokens=tokens, again=again,
    )  # fmt: skip


@contextmanager
def gateway(folder: Path, rate: float) -> Iterator[Server]:
    """As `tickwire serve` starts it, with its database, which has the cores that the gateway leaves."""
    port, config = free_port(), folder / "tickwire.toml"
    secret = folder / "secret"
    secret.write_text(base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(), encoding="ascii")
    secret.chmod(0o600)
    config.write_text(config_of(port, rate, secret), encoding="utf-8")
    words = [sys.executable, "-m", "gateway.cli", "serve", "--config", str(config)]
    with servers.process("gateway", words, cpu=None, more={"XDG_STATE_HOME": str(folder)}) as (pid, log):
        servers.wait_for_port("gateway", pid, port, log)
        os.sched_setaffinity(pid, {server_cpu()})
        yield Server(
            name="tickwire", pid=pid, port=port, log=log, path="/v1/stream", stamp_key="t_in", stamp_clock="realtime",
            empty_rss_kib=rss_kib(pid),
        )  # fmt: skip


def config_of(port: int, rate: float, secret: Path) -> str:
    """Every default kept but what would hold back so many connections of one user and one address."""
    lines = [
        f'default_exchange = "{servers.SYNTHETIC}"',
        "[server]",
        f"port = {port}",
        "[limits]",
        "connections_per_user_max = 20000",
        f"handshakes_per_ip_burst = {NO_LIMIT}",
        "[auth]",
        *(f"{whose}_requests_{of} = {NO_LIMIT}" for whose in ("key", "user") for of in ("per_s", "burst")),
        "[[auth.jwt.keys]]",
        f'kid = "{ISSUER}"',
        'algorithm = "HS256"',
        f"file = {json.dumps(str(secret))}",
        f'issuer = "{ISSUER}"',
        f'audience = "{ISSUER}"',
    ]
    for name, options in (
        (servers.SYNTHETIC, {"symbols": 1, "rate": rate}),
        (QUIET, {"symbols": QUIET_SYMBOLS, "rate": QUIET_RATE}),
    ):
        lines += [f"[exchanges.{name}]", 'class = "synthetic"', f"options = {servers.inline_toml(options)}"]
    return "\n".join(lines) + "\n"


def made_key(folder: Path) -> dict[str, str]:
    """Of a user of its own, made as an operator makes them."""
    tickwire(folder, "user", "add", NAMED)
    made: dict[str, str] = json.loads(tickwire(folder, "key", "create", NAMED, "--json"))
    return made


def made_tokens(secret: Path, key_id: int, count: int) -> list[str]:
    """Signed as another issuer signs them: each one is another, so that each has to be checked."""
    key = base64.urlsafe_b64decode(secret.read_text(encoding="ascii"))
    head = _part({"alg": "HS256", "typ": "JWT", "kid": ISSUER})
    now_s = int(time.time())
    claims = {
        "iss": ISSUER, "aud": ISSUER, "sub": NAMED, "kid": key_id, "accounts": None, "scope": "read",
        "iat": now_s, "exp": now_s + TOKEN_S,
    }  # fmt: skip
    made = []
    for _ in range(count):
        signed = head + b"." + _part({**claims, "jti": secrets.token_urlsafe(16)})
        signature = base64.urlsafe_b64encode(hmac.digest(key, signed, hashlib.sha256)).rstrip(b"=")
        made.append((signed + b"." + signature).decode())
    return made


def _part(value: dict[str, object]) -> bytes:
    return base64.urlsafe_b64encode(json.dumps(value, separators=(",", ":")).encode()).rstrip(b"=")


def figures(seen: Weathered) -> dict[str, float | None]:
    """By the names that limits have."""
    storm, read, came = seen.storm, seen.readers, seen.came
    grown_kib = came["server_rss_kB"] - read.empty_rss_kib
    missing = sum(came[name] for name in ("announced", "unannounced", "repeated"))
    return {
        "conns_count": storm.readers + storm.comers,
        "accepted_per_s": came["stayed"] / came["connect_s"],
        "all_subscribed_s": came["there_s"],
        "storm_s": came["again_s"],
        "refused_count": 2 * storm.comers - came["stayed"] - came["alive"],
        "handshake_p50_ms": came["handshake_p50_ms"],
        "handshake_p99_ms": came["handshake_p99_ms"],
        "client_cpu_while_connecting_share": came["connecting_cpu"] + read.client_cpu,
        "client_waited_share": read.client_waited,
        "delivered_share": read.msg_s / (storm.readers * storm.rate),
        "lost_count": storm.readers - read.alive,
        "missing_count": missing + sum(each or 0 for each in (read.announced, read.unannounced, read.repeated)),
        "memory_per_connection_KiB": grown_kib / (storm.readers + storm.comers),
        "p50_ms": read.p50_ms,
        "p99_ms": read.p99_ms,
        "p999_ms": read.p999_ms,
        **by_stamp(read),
    }
