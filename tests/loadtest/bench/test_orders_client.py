"""The client of workload H: its order, and its figures. `test_orders` runs it whole."""

from __future__ import annotations

from loadtest.bench.orders_client import WIDTH, Timed, buckets, order_of, percentile
from loadtest.cpu import Shares


def test_an_order_is_over_at_once_and_has_its_own_name() -> None:
    first, second = order_of(7, "a"), order_of(7, "b")
    assert first["account_id"] == 7
    assert first["payload"] == second["payload"]
    assert (first["request_id"], second["request_id"]) == ("a", "b")
    assert first["payload"]["time_in_force"] == "IOC"  # type: ignore[index]  # it is an object


def test_figures_of_what_was_done_and_what_failed() -> None:
    timed = Timed()
    timed.latencies_ms += [3.0, 1.0, 2.0, 9.0]
    figures = timed.figures(2, 4.0, Shares(0.25, 0.5))
    assert (figures["orders"], figures["per_s"], figures["p50_ms"], figures["p99_ms"]) == (4, 1.0, 3.0, 9.0)
    assert (figures["failed"], figures["first_failure"], figures["client_cpu"]) == (0, "", 0.25)
    assert figures["client_waited"] == 0.5
    timed.failed += ["risk_blocked", "other"]
    assert timed.figures(2, 4.0, Shares(0.25, 0.5))["first_failure"] == "risk_blocked"


def test_percentiles_of_few_and_none() -> None:
    assert percentile([], 0.5) == 0.0
    assert percentile([4.0], 0.99) == 4.0


def test_buckets_count_each_answer_once_where_it_is_at_most_a_bucket_s_width_too_long() -> None:
    found = buckets([0.0005, 1.0, 1.0, 9.0])
    assert [count for _us, count in found] == [1, 2, 1]
    for (us, _count), true_us in zip(found, (1.0, 1_000.0, 9_000.0), strict=True):
        assert true_us <= us * (1 + 1e-9)
        assert us < true_us * WIDTH
    assert found == sorted(found)
    assert buckets([]) == []
    assert Timed().figures(1, 4.0, Shares(0.25, 0.5))["buckets"] == []
