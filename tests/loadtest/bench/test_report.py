"""Verdicts at and beyond every limit, and the text: golden, since people read it and links point into it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from loadtest.bench import report
from loadtest.bench.workloads import WORKLOADS, Result
from tests.loadtest.bench.made import FIGURES, FLOOR, MACHINE, result


def words(measured: Result) -> list[str]:
    return [verdict.word for verdict in report.verdicts(measured)]


def test_every_workload_has_goals() -> None:
    assert set(report.GOALS) == set(WORKLOADS)


def test_a_within_and_beyond() -> None:
    assert words(result("A")) == ["met", "met", "met"]
    assert words(result("A", replace(FIGURES, p99_ms=5.21))) == ["met", "MISSED", "met"]
    assert words(result("A", replace(FIGURES, us_per_msg=4.61))) == ["met", "met", "MISSED"]


def test_without_a_floor_ratios_are_not_judged() -> None:
    assert words(result("A", floor=None)) == ["met", "not judged", "not judged"]


@pytest.mark.parametrize(
    "gateway",
    [
        replace(FIGURES, alive=999),
        replace(FIGURES, unannounced=1),
        replace(FIGURES, announced=1),
        replace(FIGURES, repeated=1),
        replace(FIGURES, msg_s=98_000.0),
        replace(FIGURES, least_per_conn=390),
    ],
)
def test_any_loss_misses_delivery_in_full(gateway: object) -> None:
    assert isinstance(gateway, type(FIGURES))
    assert words(result("A", gateway))[0] == "MISSED"


def test_a_loss_seen_only_by_the_check_counts() -> None:
    measured = result("A")
    measured.checked = replace(FIGURES, client="swarm", unannounced=3)
    assert words(measured)[0] == "MISSED"


def test_b_is_held_against_its_own_rate() -> None:
    full = replace(FIGURES, msg_s=1_000_000.0, least_per_conn=4_000, us_per_msg=0.7)
    floor = replace(FLOOR, us_per_msg=0.5)
    assert words(result("B", full, floor)) == ["met", "met", "met"]
    assert words(result("B", replace(full, p99_ms=20.1), floor)) == ["met", "MISSED", "met"]
    assert words(result("B", replace(full, us_per_msg=0.76), floor)) == ["met", "met", "MISSED"]
    assert words(result("B", replace(full, least_per_conn=3_900), floor))[0] == "MISSED"


def test_c_memory_is_over_the_empty_process() -> None:
    full = replace(FIGURES, conns=10_000, alive=10_000, least_per_conn=40, empty_rss_kib=50_000)
    assert words(result("C", replace(full, rss_kib=150_000))) == ["met", "met", "met"]
    assert words(result("C", replace(full, rss_kib=150_100))) == ["met", "met", "MISSED"]


def test_d_replies() -> None:
    measured = result("D", replace(FIGURES, conns=10_000, alive=10_000, least_per_conn=40, p99_ms=4.8))
    assert words(measured) == ["met", "met", "not judged"]
    measured.extra["reply_p99_ms"] = 9.9
    assert words(measured) == ["met", "met", "met"]
    measured.extra["reply_p99_ms"] = 10.1
    assert words(measured) == ["met", "met", "MISSED"]


def stalled(**changes: float) -> Result:
    measured = result("E", replace(FIGURES, announced=500, repeated=0, **changes), None)  # type: ignore[arg-type]  # by name
    measured.unstalled = replace(FIGURES, rss_kib=58_000)
    measured.extra["stalled"] = 10
    return measured


def test_e_the_others_the_memory_and_the_announcements() -> None:
    assert words(stalled()) == ["met", "met", "met"]
    assert words(stalled(p99_ms=5.6)) == ["MISSED", "met", "met"]
    assert words(stalled(rss_kib=70_000)) == ["met", "MISSED", "met"]
    assert words(stalled(unannounced=1)) == ["met", "met", "MISSED"]
    nothing_dropped = stalled()
    assert nothing_dropped.gateway is not None
    nothing_dropped.gateway = replace(nothing_dropped.gateway, announced=0)
    assert words(nothing_dropped) == ["met", "met", "MISSED"]  # then nothing was shown


def test_g_by_channel() -> None:
    measured = result("G", None, None)
    measured.channels = {"trades": FIGURES, "quotes": FIGURES}
    measured.extra = {"trades: own share p50 us": 59.0, "quotes: own share p50 us": 61.0}
    assert words(measured) == ["met", "MISSED"]


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

| goal                            |                                                          reached | verdict |
| ------------------------------- | ---------------------------------------------------------------: | ------: |
| delivered in full, no loss      | 100.0 % to the slowest connection, 0 missing, 0 connections lost |     met |
| p99 <= 1.3 x floor              |                                                           1.25 x |     met |
| CPU per message <= 1.15 x floor |                                                           1.10 x |     met |

- fastapi: fastapi did not start:
- the client's core was full while loading: tickwire; latency there is the client's too"""  # noqa: E501  # as printed


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
