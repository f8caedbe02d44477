"""Workload A over TLS: what is asked of the client, and its part of the document."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from loadtest.bench import orders_report, tls
from loadtest.bench.clients import Load
from loadtest.bench.servers import Server
from loadtest.bench.tls import TlsResult
from tests.loadtest.bench import made

RESULT = TlsResult(made.FIGURES, replace(made.FIGURES, us_per_msg=7.5, rss_kib=77_000))


def test_the_client_is_told_what_the_workload_wants() -> None:
    server = Server(name="tickwire", pid=1, port=80, log=Path("log"), path="/v1/stream")
    words = tls.command(server, Load(conns=7, messages=("{}",), warmup_s=1.0, seconds=2.0), Path("ca.pem"))
    asked = dict(zip(words[words.index("--port") :: 2], words[words.index("--port") + 1 :: 2], strict=True))
    assert asked == {
        "--port": "80", "--conns": "7", "--pid": "1", "--path": "/v1/stream", "--message": "{}", "--warmup": "1.0",
        "--seconds": "2.0", "--ca": "ca.pem",
    }  # fmt: skip
    assert "--ca" not in tls.command(server, Load(conns=7, messages=("{}",)), None)


def test_its_part_says_what_tls_costs_and_stands_before_the_orders() -> None:
    part = tls.part("python -m loadtest.bench A --tls", made.MACHINE, RESULT)
    assert "TLS costs the server 3.1 us of CPU a message more." in part
    assert "`python -m loadtest.bench A --tls`" in part
    orders = orders_report.part("x", made.MACHINE, made.ORDERS)
    document = orders_report.joined("# Benchmarks\n", part, orders)
    others, of_orders = orders_report.apart(document)
    assert of_orders == orders
    before, mine = tls.apart(others)
    assert before == "# Benchmarks\n"
    assert mine.strip() == part.strip()
    assert orders_report.joined(before, mine, of_orders) == document


def test_a_row_whose_client_was_the_bottleneck_is_said() -> None:
    assert "bottleneck" not in tls.section(RESULT)
    full = replace(RESULT, secured=replace(RESULT.secured, client_cpu=0.98, client_waited=0.25))
    assert tls.section(full).endswith("- the client was the bottleneck: tickwire, TLS 1.3: 98 %, waited 25 %")
