"""Workload H at its smallest: a real gateway, exchange, database and pgbench; every order is taken."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from loadtest.bench import orders
from loadtest.bench.orders import OrdersResult


@pytest.fixture(scope="module")
def measured() -> Iterator[OrdersResult]:
    said: list[str] = []
    yield orders.measure(1.0, said.append)
    assert len(said) == 3


def test_orders_are_taken_from_one_client_and_from_many(measured: OrdersResult) -> None:
    for sent, conns in ((measured.alone, 1), (measured.crowd, orders.MANY)):
        assert (sent.conns, sent.failed, sent.first_failure) == (conns, 0, "")
        assert sent.orders >= conns
        assert 0 < sent.p50_ms <= sent.p99_ms
        assert sum(count for _us, count in sent.buckets) == sent.orders
    assert measured.samples
    assert all(each.memory_KiB > 1_000 for each in measured.samples)


def test_pgbench_inserts_the_rows_of_such_an_order(measured: OrdersResult) -> None:
    assert measured.rows == 4  # the command, the order, and an event for each of its states
    assert measured.inserted.clients == orders.MANY
    assert min(each.per_s for each in (measured.inserted_alone, measured.inserted, measured.inserted_in_two)) > 0


def test_what_holds_a_client_back_is_put_off_and_nothing_else() -> None:
    text = orders.config_of(9_000, {"urls": {}})
    assert 'enableRateLimit" = false' in text
    assert "[oms]" not in text
