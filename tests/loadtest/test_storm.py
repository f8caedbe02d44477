"""The figures of a storm, from made results, and once a small one on the real gateway."""

from __future__ import annotations

from loadtest import storm
from loadtest.storm import Storm

SMALL = Storm(readers=10, comers=30, rate=50, seconds=1.0)
READ: dict[str, float] = {
    "alive": 10, "announced": 0, "unannounced": 0, "repeated": 0, "p50_ms": 1.0, "p99_ms": 2.0, "p999_ms": 3.0,
}  # fmt: skip
CAME: dict[str, float] = {
    "alive": 30, "connect_s": 0.5, "handshake_p50_ms": 4.0, "handshake_p99_ms": 5.0, "announced": 0, "unannounced": 0,
    "repeated": 0,
}  # fmt: skip


def test_who_comes_is_counted_and_timed() -> None:
    named = storm.figures(SMALL, READ, CAME)
    assert (named["storm_s"], named["accepted_per_s"], named["refused_count"]) == (0.5, 60.0, 0)
    assert storm.figures(SMALL, READ, CAME | {"alive": 28})["refused_count"] == 2


def test_who_reads_must_lose_nothing() -> None:
    named = storm.figures(SMALL, READ, CAME)
    assert (named["lost_count"], named["missing_count"], named["p99_ms"]) == (0, 0, 2.0)
    assert storm.figures(SMALL, READ | {"alive": 9}, CAME)["lost_count"] == 1
    assert storm.figures(SMALL, READ | {"announced": 1}, CAME | {"unannounced": 2})["missing_count"] == 3


def test_a_small_storm_on_the_real_gateway() -> None:
    came = storm.measure(SMALL, lambda _: None)
    assert (came.figures["refused_count"], came.figures["lost_count"], came.figures["missing_count"]) == (0, 0, 0)
    assert came.curve[-1][0] == 1.0
    assert came.samples
