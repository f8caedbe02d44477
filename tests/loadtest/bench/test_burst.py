"""What a gateway is told for D's second phase, and the names of its figures. A real one is in test_workloads."""

from __future__ import annotations

import tomllib

from loadtest.bench import burst, orders


def test_the_crowd_has_an_exchange_of_its_own_beside_the_one_that_is_traded_on() -> None:
    lines = burst.source_lines({"symbols": 1, "rate": 10.0})
    read = tomllib.loads(orders.config_of(9_000, {}) + "\n".join(lines))
    assert {name: each["class"] for name, each in read["exchanges"].items()} == {"sim": "binance", "bench": "synthetic"}
    assert read["exchanges"]["bench"]["options"] == {"symbols": 1, "rate": 10.0}
    assert "oms" not in read  # on, as it is by default


def test_figures_of_orders_stand_beside_those_of_pings() -> None:
    printed = {"p50_ms": 4.0, "p99_ms": 9.0, "replied": 30, "failed": 1, "sent_late_p99_ms": 0.5, "first_failure": "x"}
    assert burst.named(printed) == {
        "order_reply_p50_ms": 4.0, "order_reply_p99_ms": 9.0, "orders_replied": 30, "orders_failed": 1,
        "orders_sent_late_p99_ms": 0.5,
    }  # fmt: skip
