"""Servers under test, each a process of its own on the server's core: the gateway, the exchange, the C floor, peers.

Knows how each is started, when it is ready and how its updates are stamped. Must not know workloads or clients.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from loadtest.bench.machine import client_cpu, free_port, on_cpu, realtime, rss_kib, server_cpu
from loadtest.bench.tools import Tools
from loadtest.swarm import ToolError, last_json_line

START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 5.0
FLOOR_RUNS_S = 600  # the floor ends by itself after this long; it is ended long before
SYNTHETIC = "bench"  # the exchange name of the synthetic source in the gateway's configuration
SIMULATED = "sim"
NOTHING: Mapping[str, str] = {}


@dataclass(frozen=True)
class Server:
    """A running server: where it is and how to read its frames."""

    name: str
    pid: int
    port: int
    log: Path
    path: str = "/"
    stamp_key: str = "t"
    stamp_clock: str = "monotonic"
    empty_rss_kib: int = 0

    def get(self, path: str) -> tuple[int, str]:
        """Status and body of a GET."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        with contextlib.closing(connection):
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()

    def status(self) -> GatewayStatus:
        """What the gateway says of its fan-out."""
        _status, text = self.get("/api/ws/status")
        document = json.loads(text)
        return GatewayStatus(document["counters"]["messages"], document["counters"]["sends"], document["latency_ns"])


class GatewayStatus(NamedTuple):
    """Counts since its start, and the time from `t_in` to the kernel having the frame."""

    messages: int
    sends: int
    latency_ns: dict[str, Any]  # percentiles, and `buckets`


@contextlib.contextmanager
def process(
    name: str, words: list[str], *, cpu: int | None, cwd: Path | None = None, more: Mapping[str, str] = NOTHING
) -> Iterator[tuple[int, Path]]:
    """Run a process, pinned or not, with its output in a file; ended when the block is left. `more` is for its
    environment."""
    with tempfile.TemporaryDirectory(prefix="tickwire-bench-") as folder:
        log = Path(folder) / f"{name}.log"
        with log.open("wb") as output:
            running = subprocess.Popen(  # noqa: S603 - our own servers, and peers the user installed
                words if cpu is None else [*on_cpu(cpu), *words],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=cwd,
                env={**environment(), **more},
            )
        try:
            yield running.pid, log
            if running.poll() is not None:
                raise ToolError(f"{name} ended by itself with {running.returncode}:\n{_tail(log)}")
        finally:
            running.send_signal(signal.SIGTERM)
            try:
                running.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                running.kill()
                running.wait()


def environment() -> dict[str, str]:
    """Ours without TICKWIRE_*: what is set in a shell must not change what is measured."""
    return {name: value for name, value in os.environ.items() if not name.startswith("TICKWIRE_")}


def _tail(log: Path) -> str:
    return log.read_text(encoding="utf-8", errors="replace")[-1500:].strip()


def wait_for_port(name: str, pid: int, port: int, log: Path) -> None:
    """Until somebody listens; an early end is reported with what the process said."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        if Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] == "Z":
            raise ToolError(f"{name} did not start:\n{_tail(log)}")
        time.sleep(0.05)
    raise ToolError(f"{name} did not listen within {START_TIMEOUT_S:.0f} s:\n{_tail(log)}")


@contextlib.contextmanager
def gateway(
    exchange: str,
    options: dict[str, Any],
    *,
    klass: str,
    certificate: Path | None = None,
    more: Mapping[str, Any] = MappingProxyType({}),
    limits: Mapping[str, Any] = MappingProxyType({}),
    workers: int = 1,
) -> Iterator[Server]:
    """The real gateway as `tickwire serve` starts it, with everything on and one configured exchange, the default;
    with a certificate (its key in the same file) it speaks TLS. `more` is what else is said of the exchange,
    `limits` which are not the default."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="tickwire-bench-") as folder:
        config = Path(folder) / "tickwire.toml"
        text = gateway_config(port, exchange, options, klass=klass, certificate=certificate, more=more, limits=limits)
        config.write_text(text, encoding="utf-8")
        words = [sys.executable, "-m", "gateway.cli", "serve", "--config", str(config)]
        words += ["--workers", str(workers)] if workers > 1 else []
        with process("gateway", words, cpu=server_cpu()) as (pid, log):
            wait_for_port("gateway", pid, port, log)
            yield Server(
                name="tickwire",
                pid=pid,
                port=port,
                log=log,
                path="/v1/stream",
                stamp_key="t_in",
                stamp_clock="realtime",
                empty_rss_kib=rss_kib(pid),
            )


def gateway_config(
    port: int,
    exchange: str,
    options: dict[str, Any],
    *,
    klass: str,
    certificate: Path | None = None,
    more: Mapping[str, Any] = MappingProxyType({}),
    limits: Mapping[str, Any] = MappingProxyType({}),
) -> str:
    """The configuration file: every default kept, except where to listen, what to read, no orders, and `limits`."""
    lines = [
        f"default_exchange = {json.dumps(exchange)}",
        "[server]",
        f"port = {port}",
        *([f'tls_{name} = "{certificate}"' for name in ("certificate", "key")] if certificate else []),
        *(["[limits]"] if limits else []),
        *(f"{name} = {inline_toml(value)}" for name, value in limits.items()),
        "[oms]",
        "enabled = false",
        f"[exchanges.{exchange}]",
        f"class = {json.dumps(klass)}",
        f"options = {inline_toml(options)}",
        *(f"{name} = {inline_toml(value)}" for name, value in more.items()),
    ]
    return "\n".join(lines) + "\n"


@contextlib.contextmanager
def exchange(
    *, pinned: bool = True, ahead: bool = False, symbols: int = 1, rate: float = 0.0, port: int = 0
) -> Iterator[Server]:
    """The simulated exchange, on the client's side of the machine; without a rate its market moves only when told
    to. `ahead` of ordinary processes there, as if it had a machine of its own."""
    port = port or free_port()
    words = [*(realtime() if ahead else ()), sys.executable, "-m", "loadtest.exchange", "--port", str(port)]
    words += ["--synthetic", "--seed", "1", "--symbols", str(symbols), "--rate", str(rate)]
    with process("exchange", words, cpu=client_cpu() if pinned else None) as (pid, log):
        wait_for_port("exchange", pid, port, log)
        yield Server(name="exchange", pid=pid, port=port, log=log)


@contextlib.contextmanager
def ticks(at: Server, stream: str, every_ms: float) -> Iterator[None]:
    """The exchange sends one message of a stream every so often."""
    words = [sys.executable, "-m", "loadtest.bench.ticks", str(at.port), stream, str(every_ms)]
    with process("ticks", words, cpu=client_cpu()):
        yield


def binance_at(server: Server) -> dict[str, Any]:
    """Constructor options of ccxt's binance classes for the simulated exchange."""
    http, ws = f"http://127.0.0.1:{server.port}", f"ws://127.0.0.1:{server.port}"
    spot = {"public": f"{http}/api/v3", "private": f"{http}/api/v3", "v1": f"{http}/api/v1", "sapi": f"{http}/sapi/v1"}
    return {
        # ccxt tells spot from swap by "/stream" in the URL.
        "urls": {"api": {**spot, "ws": {"spot": f"{ws}/stream/ws", "ws-api": {"spot": f"{ws}/ws-api/v3"}}}},
        "options": {
            "defaultType": "spot",
            "fetchMarkets": {"types": ["spot"]},
            "fetchMargins": False,
            "fetchCurrencies": False,
        },
    }


def ccxt_alone(options: dict[str, Any], method: str, symbol: str, seconds: float) -> dict[str, float]:
    """How long ccxt's own class takes a message, in a process of its own on the server's core."""
    words = [*on_cpu(server_cpu()), sys.executable, "-m", "loadtest.bench.ccxt_parse"]
    words += [json.dumps(options), method, symbol, str(seconds)]
    return last_json_line(words, timeout_s=seconds + START_TIMEOUT_S)


def inline_toml(value: Any) -> str:
    """A value of a configuration on one line; strings, numbers and booleans are written as JSON writes them."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(name)} = {inline_toml(item)}" for name, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(inline_toml, value)) + "]"
    return json.dumps(value)


@contextlib.contextmanager
def floor(tools: Tools, conns: int, rate: float, *, payload_bytes: int, messages_per_send: int) -> Iterator[Server]:
    """The kernel's limit: a ready frame written to every socket, as many messages a send as the gateway's."""
    assert tools.floor is not None
    port = free_port()
    words = [str(tools.floor), "-p", str(port), "-n", str(conns), "-R", str(rate), "-d", str(FLOOR_RUNS_S)]
    words += ["-b", str(payload_bytes), "-c", str(messages_per_send)]
    with process("floor", words, cpu=server_cpu()) as (pid, log):
        _wait_for_listener(pid, port)
        yield Server(
            name=f"C floor, {messages_per_send} a send", pid=pid, port=port, log=log, empty_rss_kib=rss_kib(pid)
        )


def _wait_for_listener(pid: int, port: int) -> None:
    """Like `wait_for_port` without connecting: the floor counts every connection as one of its subscribers."""
    wanted = f":{port:04X} 00000000:0000 0A"
    deadline = time.monotonic() + START_TIMEOUT_S
    while wanted not in Path(f"/proc/{pid}/net/tcp").read_text(encoding="ascii"):
        if time.monotonic() > deadline:
            raise ToolError("the floor does not listen")
        time.sleep(0.02)


@contextlib.contextmanager
def peer(tools: Tools, name: str, rate: float) -> Iterator[Server]:
    """What a user would pick instead, doing the same work."""
    port = free_port()
    words = [*tools.peers[name], str(port), str(rate)]
    with process(name, words, cpu=server_cpu(), cwd=tools.peers_folder) as (pid, log):
        wait_for_port(name, pid, port, log)
        yield Server(name=name, pid=pid, port=port, log=log, empty_rss_kib=rss_kib(pid))
