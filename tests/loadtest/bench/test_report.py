"""Verdicts, and the text: golden, since people read it and links point into it."""

from __future__ import annotations

from dataclasses import replace

from loadtest.bench import report, tools
from loadtest.bench.clients import Percentiles
from loadtest.bench.workloads import WORKLOADS
from tests.loadtest.bench.made import FIGURES, MACHINE, result


def test_limits_are_those_of_the_file() -> None:
    assert [verdict.word for verdict in report.verdicts(result("A"))] == ["met"] * 8 + ["reached"] * 2
    beyond = result("A", replace(FIGURES, p99_ms=5.21, us_per_msg=4.61))
    words = [verdict.word for verdict in report.verdicts(beyond) if verdict.is_limit]
    assert words == ["met"] * 6 + ["MISSED"] * 2


def test_table_is_aligned_markdown() -> None:
    assert report.table(("server", "msg/s"), [("tickwire", "1"), ("x", "100,000")]) == (
        "| server   |   msg/s |\n"
        "| -------- | ------: |\n"
        "| tickwire |       1 |\n"
        "| x        | 100,000 |"
    )  # fmt: skip


def test_section_golden() -> None:
    measured = result("A", replace(FIGURES, client_cpu=0.97))
    measured.checked = replace(FIGURES, client="swarm", announced=0, repeated=0, messages_per_send=None)
    measured.checked = replace(measured.checked, from_t_out_ms=Percentiles(2.25, 4.5))
    measured.peers = [replace(FIGURES, server="picows", p99_ms=6.1, unannounced=None, messages_per_send=None)]
    measured.notes = ["fastapi: fastapi did not start:"]
    assert report.section(measured) == GOLDEN


GOLDEN = """\
## A: 1,000 connections, 1 key, 100 updates/s

| server                         | client |   msg/s | p50 ms | p99 ms | p99.9 ms | CPU us/msg | msgs/send | payload B | KiB/conn | accept s | missing | client CPU |
| ------------------------------ | -----: | ------: | -----: | -----: | -------: | ---------: | --------: | --------: | -------: | -------: | ------: | ---------: |
| tickwire                       | wsload | 100,000 |   2.50 |   5.00 |     6.00 |       4.40 |       1.0 |       350 |      8.0 |      0.4 |       0 |       97 % |
| tickwire, every stream checked |  swarm | 100,000 |   2.50 |   5.00 |     6.00 |       4.40 |         - |       350 |      8.0 |      0.4 |       0 |       30 % |
| C floor, 1 a send              | wsload | 100,000 |   2.50 |   4.00 |     6.00 |       4.00 |       1.0 |       350 |      0.1 |      0.4 |       0 |       30 % |
| picows                         | wsload | 100,000 |   2.50 |   6.10 |     6.00 |       4.40 |         - |       350 |      8.0 |      0.4 |       - |       30 % |

| p50 and p99 ms from            |          t_in |         t_out | the exchange's time |
| ------------------------------ | ------------: | ------------: | ------------------: |
| tickwire, every stream checked | 2.50 and 5.00 | 2.25 and 4.50 |                   - |

| limit                            | reached | verdict |
| -------------------------------- | ------: | ------: |
| conns_count >= 1,000             |   1,000 |     met |
| delivered_share >= 0.99          |       1 |     met |
| missing_count <= 0               |       0 |     met |
| lost_count <= 0                  |       0 |     met |
| p99_ms <= 50                     |       5 |     met |
| cpu_per_message_us <= 10         |     4.4 |     met |
| p99_of_floor_ratio <= 1.3        |    1.25 |     met |
| cpu_of_floor_ratio <= 1.15       |     1.1 |     met |
| goal: p99_of_floor_ratio <= 1.3  |    1.25 | reached |
| goal: cpu_of_floor_ratio <= 1.15 |     1.1 | reached |

- fastapi: fastapi did not start:
- the client's core was full while loading: tickwire; latency there is the client's too"""  # noqa: E501  # as printed


def test_how_many_rounds_were_run_is_that_of_the_workloads() -> None:
    counts = {name: row.rounds for name, row in WORKLOADS.items() if row.rounds > 1}
    assert counts == {"A": 5, "B": 5, "E": 8, "G": 3}
    assert "- Of A and B 5 rounds were run, of E 8, of G 3, in turns" in report.HOW


def test_what_a_peer_reaches_of_what_is_offered_is_said() -> None:
    measured = result("B", replace(FIGURES, msg_s=1_000_000.0, us_per_msg=0.9, messages_per_send=8.0))
    measured.peers = [replace(FIGURES, server=name, msg_s=msg_s) for name, msg_s in REACHED.items()]
    text = report.section(measured)
    rows = [[cell.strip() for cell in line.split("|")[1:4]] for line in text.splitlines() if line.startswith("| ")]
    assert rows[2:7] == [
        ["tickwire", "wsload", "1,000,000"],
        ["C floor, 1 a send", "wsload", "100,000"],
        *([name, "wsload", f"{msg_s:,.0f}"] for name, msg_s in REACHED.items()),
    ]
    assert text.endswith(
        "- of what was offered, picows 21 %, websockets 13 %; "
        "a peer's stamp does not tell how late it came to an update"
    )


REACHED = {"quick": 999_000.0, "picows": 208_000.0, "websockets": 134_000.0}


def test_a_client_that_did_not_get_its_core_is_said_and_excuses_nothing() -> None:
    measured = result("A", replace(FIGURES, p99_ms=6.0, client_waited=0.2))
    measured.peers = [replace(FIGURES, server="picows", client_waited=0.04)]
    text = report.section(measured)
    assert "| 30 %, waited 20 % |" in text
    assert "- the client waited for its core while loading: tickwire; latency is the machine's too" in text
    assert "| p99_of_floor_ratio <= 1.3        |     1.5 | MISSED: its client was the bottleneck |" in text


def test_document_holds_command_machine_summary_and_sections() -> None:
    text = report.document("python -m loadtest.bench", MACHINE, [result("A"), result("C")], ["no C floor"])
    assert text.startswith("# Benchmarks\n")
    for wanted in (
        "Made by the command and on the machine of the first table;",
        "`python -m loadtest.bench`",
        "2 x A Processor",
        "picows 2.3.1",
        "- no C floor",
        "| A        |",
        "## A: 1,000 connections",
        "## C: 10,000 connections",
    ):
        assert wanted in text
    assert text.endswith("\n")
    assert not text.endswith("\n\n")


def test_when_measuring_begins_is_said_as_the_workloads_have_it() -> None:
    assert report.begins() == "Measuring begins 1.5 s after the last connection is there, in C 5 s, in E 6 s"
    assert f"- {report.begins()};" in report.HOW
    assert report.begins() in " ".join((tools.ROOT / "docs" / "load.md").read_text(encoding="utf-8").split())
