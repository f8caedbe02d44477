"""The figures of a mix, from made results, and once everything together against the real gateway."""

from __future__ import annotations

from typing import Any

import pytest

from loadtest import mixed
from loadtest.mixed import Mix
from loadtest.outcome import Sample

MIX = Mix(conns=10, stalled=2, programs=4, symbols=2, rate=10, minutes=0.5)
READ: dict[str, float] = {
    "unannounced": 0, "repeated": 0, "announced": 5, "readers_alive": 10, "min_per_conn": 299, "msg_s": 100.0,
    "p50_ms": 1.0, "p90_ms": 2.0, "p99_ms": 3.0, "p999_ms": 4.0, "max_ms": 5.0, "server_us_per_msg": 6.0,
    "client_cpu": 0.5,
}  # fmt: skip
CAME: dict[str, Any] = {
    "updates": 900, "announced": 100, "unannounced": 0, "repeated": 0, "connects": 4, "reconnects": 10,
    "reconnected": 10, "lost": 0, "failures": 0, "resumed": 6, "replayed": 7, "not_recovered": 1,
    "deeds": {"drop": 1}, "first_failures": [],
}  # fmt: skip
SAMPLES = [Sample(float(at_s), 100.0, 0.1, 1_000 + at_s) for at_s in range(1, 25)]


def of(read: dict[str, float] | None = None, came: dict[str, Any] | None = None) -> dict[str, float | None]:
    return mixed.figures(MIX, READ | (read or {}), CAME | (came or {}), SAMPLES)


def test_what_readers_and_programs_got() -> None:
    named = of()
    assert (named["delivered_share"], named["delivered_to_programs_share"]) == (1.0, 0.9)
    assert (named["reconnect_success_share"], named["lost_count"], named["unannounced_count"]) == (1.0, 0, 0)
    assert named["memory_slope_KiB_per_h"] == pytest.approx(3600)
    assert named["memory_grown_KiB"] == 18


def test_losses_of_either_kind_of_client_count() -> None:
    assert of({"unannounced": 1}, {"unannounced": 2})["unannounced_count"] == 3
    assert of({"repeated": 1}, {"repeated": 2})["repeated_count"] == 3
    assert of({"readers_alive": 9}, {"lost": 2})["lost_count"] == 3
    assert of({"min_per_conn": 149})["delivered_share"] == 0.5


def test_reconnects_and_connects_that_fail() -> None:
    named = of(None, {"reconnected": 9, "failures": 3, "lost": 2})
    assert named["reconnect_success_share"] == 0.9
    assert named["connect_failures_share"] == pytest.approx(1 / 14)
    assert of(None, {"reconnects": 0, "reconnected": 0})["reconnect_success_share"] == 0.0  # nothing was shown


def test_a_mix_on_the_real_gateway_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mixed, "AUDIT_S", 0.5)
    mix = Mix(conns=20, stalled=2, programs=10, symbols=4, rate=20, minutes=0.05)
    said: list[str] = []
    came = mixed.measure(mix, said.append)
    named = came.figures
    assert (named["unannounced_count"], named["repeated_count"], named["lost_count"]) == (0, 0, 0)
    assert (named["reconnect_success_share"], named["connect_failures_share"]) == (1.0, 0.0)
    assert len(came.samples) >= 3
    assert all(sample.memory_KiB > 1_000 for sample in came.samples)
    assert any(sample.messages_per_s > 0 for sample in came.samples)
    assert [share for share, _ms in came.curve] == sorted(share for share, _ms in came.curve)
    assert said == ["20 connections, 2 stalled, 10 programs, 0.05 minutes"]
