"""Which figures tell that a load tool was itself the bottleneck, and that a limit missed then is still missed."""

from __future__ import annotations

import pytest

from loadtest import bottleneck


@pytest.mark.parametrize(
    ("name", "value", "is_told"),
    [
        ("client_cpu_share", 0.95, False),
        ("client_cpu_share", 0.96, True),
        ("client_cpu_at_floor_share", 0.96, True),
        ("client_waited_share", 0.05, False),
        ("client_waited_of_swarm_share", 0.06, True),
        ("client_lag_p99_ms", 50.0, False),
        ("client_lag_p99_ms", 51.0, True),
        ("cpu_share", 1.0, False),  # the server's
        ("client_cpu_share", None, False),
    ],
)
def test_a_figure_beyond_its_measure_tells(name: str, value: float | None, is_told: bool) -> None:
    said = bottleneck.told({name: value, "p99_ms": 10_000.0})
    assert [name in each for each in said] == [True] * is_told


@pytest.mark.parametrize(
    ("cpu", "waited", "is_short"), [(0.95, 0.05, False), (0.96, 0.0, True), (0.1, 0.06, True), (0.1, None, False)]
)
def test_one_client_is_short_of_a_full_core_or_of_one_it_did_not_get(
    cpu: float, waited: float | None, is_short: bool
) -> None:
    assert bottleneck.short(cpu, waited) is is_short


def test_a_table_s_cell_says_what_it_waited_when_that_is_too_much() -> None:
    assert [bottleneck.cell(0.3, waited) for waited in (None, 0.05, 0.5)] == ["30 %", "30 %", "30 %, waited 50 %"]
