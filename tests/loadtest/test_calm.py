"""Latency without faults: which seconds count, and what of nothing."""

from __future__ import annotations

import json
import math

import pytest

from loadtest import calm
from loadtest.unrest import Injected

SLOW = Injected("slow answers", 103.0, 107.0, breaks=False)


def line(from_s: float, us: float) -> str:
    return json.dumps({"from_s": from_s, "until_s": from_s + 1, "since_ex_us": [[us, 10]], "since_us": []})


def test_seconds_that_a_fault_touches_are_left_out() -> None:
    lines = ['{"up": 1}', *(line(float(at_s), float(at_s)) for at_s in range(100, 112)), '{"p50_ms": 1}']
    counted = calm.buckets(lines, [SLOW])
    assert [us for us, _count in counted] == [100.0, 101.0, 109.0, 110.0, 111.0]  # and a second after it
    assert len(calm.buckets(lines, [])) == 12


def test_what_is_told_twice_is_summed() -> None:
    assert calm.buckets([line(100.0, 5.0), line(101.0, 5.0), line(102.0, 4.0)], []) == [(4.0, 10), (5.0, 20)]


@pytest.mark.parametrize(("share", "ms"), [(0.5, 1.0), (0.99, 1.0), (0.991, 9.0)])
def test_a_percentile_is_of_all_that_was_told(share: float, ms: float) -> None:
    assert calm.percentile_ms([(1_000.0, 99), (9_000.0, 1)], share) == ms


def test_a_percentile_of_nothing_is_no_number() -> None:
    assert math.isnan(calm.percentile_ms([], 0.99))
