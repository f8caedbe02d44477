"""What a gateway is told for D's second phase, and the names of its figures. A real one is in test_workloads."""

from __future__ import annotations

import tomllib

import pytest

from loadtest import bottleneck
from loadtest.bench import burst, orders


def test_the_crowd_has_an_exchange_of_its_own_beside_the_one_that_is_traded_on() -> None:
    lines = burst.source_lines({"symbols": 1, "rate": 10.0})
    read = tomllib.loads(orders.config_of(9_000, {}) + "\n".join(lines))
    assert {name: each["class"] for name, each in read["exchanges"].items()} == {"sim": "binance", "bench": "synthetic"}
    assert read["exchanges"]["bench"]["options"] == {"symbols": 1, "rate": 10.0}
    assert "oms" not in read  # on, as it is by default


ORDERED = {
    "p50_ms": 4.0, "p99_ms": 9.0, "due": 40, "replied": 30, "failed": 1, "sent_late_p99_ms": 0.5, "first_failure": "x",
    "client_cpu": 0.25, "client_waited": 0.125,
}  # fmt: skip
PINGED = {"reply_p50_ms": 1.0, "reply_p99_ms": 2.0, "replies": 1_880, "client_cpu": 0.1, "client_waited": 0.01}
READ = dict.fromkeys(burst.MISSING, 0.0) | {"p99_ms": 90.0, "alive": 100, "client_cpu": 0.5, "client_waited": 0.2}


def test_orders_that_are_not_answered_are_a_share_of_those_that_were_due() -> None:
    named = burst.named(ORDERED)
    assert (named["orders_replied_share"], named["orders_replied_count"], named["orders_failed_count"]) == (0.75, 30, 1)
    assert (named["order_reply_p50_ms"], named["order_reply_p99_ms"], named["orders_sent_late_p99_ms"]) == (4, 9, 0.5)
    assert burst.named(ORDERED | {"due": 0, "replied": 0})["orders_replied_share"] == 0.0


def test_pings_that_are_not_answered_are_a_share_of_those_that_were_due() -> None:
    assert burst.of_pings(PINGED, 4.0)["replied_share"] == 1.0  # 1,882.4 are due, and eight may be on their way
    assert burst.of_pings(PINGED | {"replies": 933}, 4.0)["replied_share"] == pytest.approx(0.5, abs=0.001)
    assert burst.of_pings(PINGED | {"replies": 0}, 0.01)["replied_share"] == 0.0


@pytest.mark.parametrize("kind", burst.MISSING)
def test_what_the_crowd_lacks_beside_orders_is_missing(kind: str) -> None:
    named = burst.of_crowd(READ, 100)
    assert [named[f"{name}_beside_orders_{of}"] for name, of in SEEN_OF_CROWD] == [90.0, 0, 0]
    worse = burst.of_crowd(READ | {kind: 3, "alive": 98}, 100)
    assert [worse[f"{name}_beside_orders_{of}"] for name, of in SEEN_OF_CROWD] == [90.0, 3, 2]


SEEN_OF_CROWD = (("p99", "ms"), ("missing", "count"), ("lost", "count"))


def test_every_figure_is_named_and_the_clients_of_all_three_are_looked_at() -> None:
    seen = burst.of_pings(PINGED, 4.0) | burst.named(ORDERED) | burst.of_crowd(READ, 100)
    assert sorted(seen) == sorted(burst.FIGURES)
    late = seen | {"orders_sent_late_p99_ms": 5.1, "client_cpu_of_pings_share": 0.96}
    assert [each.split()[5] for each in bottleneck.told(late)] == [
        "client_cpu_of_pings_share", "orders_sent_late_p99_ms", "client_waited_of_orders_share",
        "client_waited_of_crowd_share",
    ]  # fmt: skip
