"""Workload H as text: verdicts at and beyond each goal, and its part of the document."""

from __future__ import annotations

from dataclasses import replace

from loadtest.bench import orders_report
from loadtest.bench.orders import OrdersResult
from tests.loadtest.bench.made import MACHINE, ORDERS, SENT


def words(result: OrdersResult) -> list[str]:
    return [verdict.word for verdict in orders_report.verdicts(result) if verdict.is_limit]


def test_goals_within_and_beyond() -> None:
    assert words(ORDERS) == ["met", "met", "met"]  # of pgbench, p50, failed
    assert words(replace(ORDERS, alone=replace(SENT, p50_ms=5.01))) == ["met", "MISSED", "met"]
    slower = replace(ORDERS, crowd=replace(SENT, per_s=999.0))
    goals = [verdict.word for verdict in orders_report.verdicts(slower) if not verdict.is_limit]
    assert (words(slower), goals[0]) == (["met"] * 3, "not reached: docs/oms.md#what-bounds-an-order")
    assert words(replace(ORDERS, crowd=replace(SENT, per_s=259.0))) == ["MISSED", "met", "met"]
    assert words(replace(ORDERS, crowd=replace(ORDERS.crowd, failed=1))) == ["met", "met", "MISSED"]


def test_section_shows_every_run_and_the_ratios() -> None:
    text = orders_report.section(ORDERS)
    for wanted in ("| tickwire ", "| pgbench, one transaction", "| pgbench, two transactions", "0.6 |", "80 %"):
        assert wanted in text
    failed = replace(ORDERS, alone=replace(SENT, failed=2, first_failure="risk_blocked"))
    assert "the first that failed: risk_blocked" in orders_report.section(failed)


def test_clients_that_were_the_bottleneck_are_said_with_what_was_missed() -> None:
    slow = replace(ORDERS, alone=replace(SENT, p50_ms=5.01, client_waited=0.06))
    assert words(slow)[1] == "MISSED: its client was the bottleneck"
    assert "- the suite was the bottleneck: client_waited_share is 0.06" in orders_report.section(slow)


def test_the_part_is_found_again_in_the_document() -> None:
    part = orders_report.part("python -m loadtest.bench H", MACHINE, ORDERS)
    others = "# Benchmarks\n\n## A: many\n"
    whole = orders_report.joined(others, part)
    assert orders_report.apart(whole) == (others, part)
    assert orders_report.apart(others) == (others, "")
    assert orders_report.apart("") == ("", "")
    assert orders_report.joined("", part) == part
    assert "2 x A Processor" in part
