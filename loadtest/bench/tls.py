"""Workload A over TLS: what encryption costs, by the same client with and without it, and its part of the document.

Knows servers, the client and how the part is written. Must not know what the other workloads measure.
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import trustme

from loadtest import bottleneck
from loadtest.bench import report, servers
from loadtest.bench.clients import Figures, Load, from_swarm
from loadtest.bench.machine import Machine, client_cpu, on_cpu
from loadtest.bench.report import COLUMNS, row, table
from loadtest.bench.servers import Server
from loadtest.bench.workloads import WORKLOADS, Plan, load_of, source_options
from loadtest.swarm import CONNECT_TIMEOUT_S, last_json_line

NAME = "A"
HEADING = "## A over TLS"
HOW = """\
The clients are one Python process, since the C ones speak no TLS; the first row is the same client without it. Every
connection has TLS 1.3 with AES-256-GCM of its own, so what is made once for all is encrypted for each. *KiB/conn* is
with OpenSSL's buffers, *accept s* one handshake after the other, before updates go out.

Where *load before the run* is not near 0 the machine had other work: then clients do not keep up, updates gather, and
rates, latencies and the cost of a message are those of a shared machine."""


@dataclass(frozen=True)
class TlsResult:
    """The same run without and with TLS."""

    plain: Figures
    secured: Figures


def measure(plan: Plan) -> TlsResult:
    """Run the workload twice."""
    with tempfile.TemporaryDirectory(prefix="tickwire-bench-") as name:
        folder = Path(name)
        authority = trustme.CA()
        authority.cert_pem.write_to_path(folder / "ca.pem")
        made = authority.issue_cert("localhost")
        made.private_key_and_cert_chain_pem.write_to_path(folder / "server.pem")
        plain = _run(plan, None, None)
        return TlsResult(plain, _run(plan, folder / "server.pem", folder / "ca.pem"))


def _run(plan: Plan, certificate: Path | None, ca: Path | None) -> Figures:
    workload = plan.sized(WORKLOADS[NAME])
    options = source_options(workload)
    with servers.gateway(servers.SYNTHETIC, options, klass="synthetic", certificate=certificate) as server:
        plan.say(f"{NAME}: gateway, {workload.conns} connections, {'TLS' if ca else 'the same client without TLS'}")
        load = load_of(workload, plan)
        figures = last_json_line(command(server, load, ca), timeout_s=10 * CONNECT_TIMEOUT_S + load.seconds)
        return replace(from_swarm(server, load, figures), client="tls_client")


def command(server: Server, load: Load, ca: Path | None) -> list[str]:
    """The command line of the client, on the client's core."""
    (message,) = load.messages
    words = [*on_cpu(client_cpu()), sys.executable, "-m", "loadtest.bench.tls_client", "--port", str(server.port)]
    words += ["--conns", str(load.conns), "--pid", str(server.pid), "--path", server.path, "--message", message]
    words += ["--warmup", str(load.warmup_s), "--seconds", str(load.seconds)]
    return words + (["--ca", str(ca)] if ca else [])


def section(result: TlsResult) -> str:
    """Its table, what TLS costs, and of which row the client was the bottleneck."""
    more_us = result.secured.us_per_msg - result.plain.us_per_msg
    both = {"tickwire": result.plain, "tickwire, TLS 1.3": result.secured}
    rows = [row(name, seen) for name, seen in both.items()]
    cost = f"TLS costs the server {more_us:.1f} us of CPU a message more."
    notes = [
        f"- {note}"
        for name, seen in both.items()
        for note in bottleneck.of_client(name, seen.client_cpu, seen.client_waited)
    ]
    return "\n\n".join([HEADING, table(COLUMNS, rows), cost, *(["\n".join(notes)] if notes else [])])


def part(ran: str, machine: Machine, result: TlsResult) -> str:
    """What stands in docs/benchmarks.md."""
    return report.part(section(result), HOW, ran, machine)


def apart(document: str) -> tuple[str, str]:
    """The document without this part, and this part; either may be empty."""
    return report.apart(document, HEADING)
