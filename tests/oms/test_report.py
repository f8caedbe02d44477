"""A report is stored and told as JSON: money in text, a mismatch by what it is of."""

from __future__ import annotations

from decimal import Decimal

from oms.report import Cause, Mismatch, Report, Resolved


def test_a_report_is_json_ready() -> None:
    report = Report(account_id=1, cause=Cause.START, started_ns=5)
    report.resolved.append(Resolved(order_id=3, before="UNKNOWN", after="SUBMITTED"))
    report.mismatches.append(Mismatch(currency="BTC", expected=Decimal("1.50"), actual=Decimal(1)))
    plain = report.plain
    assert report.ok
    assert (plain["cause"], plain["error"], plain["finished_ns"]) == ("start", None, None)
    assert plain["resolved"] == [{"order_id": 3, "before": "UNKNOWN", "after": "SUBMITTED"}]
    assert plain["mismatches"] == [{"symbol": None, "currency": "BTC", "expected": "1.50", "actual": "1"}]
    assert Report(account_id=1, cause=Cause.START, started_ns=5).resolved == []


def test_a_mismatch_is_told_apart_by_what_it_is_of() -> None:
    of_symbol = Mismatch(symbol="BTC", expected=Decimal(1), actual=Decimal(2))
    of_currency = Mismatch(currency="BTC", expected=Decimal(1), actual=Decimal(2))
    assert of_symbol.name != of_currency.name
