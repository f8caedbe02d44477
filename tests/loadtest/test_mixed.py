"""The figures of a mix, from made results, and once everything together against the real gateway."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from loadtest import hands, load, mixed, targets, unrest, uptime
from loadtest.bench.servers import GatewayStatus, Server
from loadtest.mixed import Mix, Seen
from loadtest.outcome import Sample
from loadtest.swarm import ToolError
from loadtest.unrest import Injected

KINDS = {"conns": 10, "slow": 1, "stalled": 2, "reconnecting": 3, "resuming": 4, "resubscribing": 5}
MIX = Mix(**KINDS, programs=4, owners=1, symbols=2, rate=10, faults_every_s=12, minutes=0.5)
READ: dict[str, float] = {
    "unannounced": 0, "repeated": 0, "announced": 5, "announced_to_readers": 0, "readers_alive": 10, "msgs": 3000,
    "msg_s": 100.0, "p50_ms": 1.0, "p90_ms": 2.0, "p99_ms": 3.0, "p999_ms": 4.0, "max_ms": 5.0,
    "server_us_per_msg": 6.0, "client_cpu": 0.5, "client_waited": 0.25, "given_up": 1,
    "reconnects": 0, "reconnected": 0, "resumed": 0, "resubscribed": 0,
    "failed": 0, "too_late": 0, "not_recovered": 0, "refused": 0, "behind": 0, "behind_to_readers": 0, "silent": 0,
    "ex_p50_ms": 7.0, "ex_p99_ms": 8.0, "out_p50_ms": 0.5, "out_p99_ms": 2.5, "misfit": 0,
    "throttled_p50_ms": 125.0, "throttled_p99_ms": 250.0,
    **{f"msgs_of_{number}": 500 for number in range(6)},
    **{f"{what}_of_{number}": 0 for what in ("announced", "unannounced", "behind") for number in range(6)},
}  # fmt: skip
CAME: dict[str, Any] = {
    "updates": 900, "announced": 100, "unannounced": 0, "repeated": 0, "connects": 4, "reconnects": 10,
    "reconnected": 10, "lost": 0, "failures": 0, "resumed": 6, "replayed": 7, "not_recovered": 0, "resynced": 4,
    "too_late": 2, "behind": 0, "misfit": 0, "deeds": {"drop": 1}, "first_failures": [],
}  # fmt: skip
OWNED = CAME | dict.fromkeys((name for name, count in CAME.items() if isinstance(count, int)), 0)
OWNED |= {"updates": 90, "connects": 1, "resumed": 240, "trades": 30, "trades_failed": [], "orders_dealt_min": 30}
CAME["of_account"] = OWNED
PROBED: dict[str, Any] = {
    "slots": [[float(at_s), True, float(at_s)] for at_s in range(90, 110)],
    "gaps": [[100.5, "quotes SIM0011/USDT", "upstream"]],
    "streams": ["quotes SIM0011/USDT"],
    "flow": {"quotes": [13.0, 3.0], "trades": [10.0, 9.0], "book": [9.5, 12.0]},
    "updates": 9, "unannounced": 0, "repeated": 0, "announced": 0, "misfit": 0, "failures": [],
}  # fmt: skip
DROP = Injected("drop", 100.0, 100.0, breaks=True)
SAMPLES = [Sample(float(at_s), 100.0, 0.1, 1_000 + at_s) for at_s in range(1, 25)]
CALM = [(10_000.0, 99), (20_000.0, 1)]
SEEN = Seen(READ, CAME, PROBED, [DROP], SAMPLES, calm=CALM)


def of(
    read: dict[str, float] | None = None, came: dict[str, Any] | None = None, probed: dict[str, Any] | None = None
) -> dict[str, float | None]:
    seen = replace(SEEN, read=READ | (read or {}), came=CAME | (came or {}), probed=PROBED | (probed or {}))
    return mixed.figures(MIX, seen)


def test_what_readers_and_programs_got() -> None:
    named = of()
    assert (named["delivered_share"], named["delivered_to_programs_share"]) == (1.0, 0.9)
    assert (named["reconnect_success_share"], named["lost_count"], named["unannounced_count"]) == (1.0, 0, 0)
    assert named["memory_slope_KiB_per_h"] == pytest.approx(3600)
    assert named["memory_grown_KiB"] == 18


def test_losses_of_any_kind_of_client_count() -> None:
    assert of({"unannounced": 1}, {"unannounced": 2}, {"unannounced": 4})["unannounced_count"] == 7
    assert of({"repeated": 1}, {"repeated": 2}, {"repeated": 4})["repeated_count"] == 7
    assert of({"readers_alive": 9}, {"lost": 2})["lost_count"] == 3
    assert of({"announced_to_readers": 1000})["delivered_share"] == 0.75
    assert of({"behind_to_readers": 1000})["delivered_share"] == 0.75
    assert of({"msgs": 0})["delivered_share"] == 0.0
    assert of({"misfit": 1}, {"misfit": 2}, {"misfit": 4})["misfit_updates_count"] == 7


def test_who_falls_silent_is_behind_and_what_it_lacks_was_not_delivered() -> None:
    named = of({"behind": 1}, {"behind": 100, "announced": 0})
    assert (named["behind_count"], named["delivered_to_programs_share"]) == (101, 0.9)


def owned(**changes: Any) -> dict[str, float | None]:
    return of(None, {"of_account": OWNED | changes})


def test_what_those_lack_who_read_an_account_is_missing_whatever_was_said() -> None:
    named = owned()
    assert (named["delivered_to_owners_share"], named["private_updates_count"]) == (1.0, 90)
    assert (named["private_resumed_per_s"], named["trades_on_account_per_s"]) == (8.0, 1.0)
    assert (named["trades_told_share"], named["trades_failed_count"]) == (1.0, 0)
    assert owned(orders_dealt_min=24)["trades_told_share"] == 0.8  # lost before it had a number
    assert owned(trades=0, orders_dealt_min=0)["trades_told_share"] == 0.0
    assert owned(trades_failed=["trade: a", "trade: b"])["trades_failed_count"] == 2
    for kind in ("announced", "resynced", "unannounced", "behind"):
        assert owned(**{kind: 10})["delivered_to_owners_share"] == 0.9, kind
    assert owned(unannounced=3)["unannounced_count"] == 3
    assert owned(lost=3)["lost_count"] == 3
    assert owned(reconnects=10)["reconnect_success_share"] == 0.5
    assert owned(failures=2)["connect_failures_share"] == 2 / (15 + MIX.all)


def test_each_channel_has_its_own_count_and_share() -> None:
    named = of({"msgs_of_1": 0, "announced_of_3": 500, "unannounced_of_4": 300, "behind_of_4": 200})
    assert (named["quotes_count"], named["book_count"], named["throttled_quotes_count"]) == (1000, 500, 500)
    shares = [named[f"delivered_{name}_share"] for name in ("quotes", "trades", "book", "throttled_quotes")]
    assert shares == [1.0, 0.0, 0.5, 0.5]  # nothing is no delivery


def test_latency_is_from_all_three_stamps() -> None:
    named = of()
    assert (named["p99_ms"], named["throttled_p99_ms"]) == (3.0, 250.0)
    assert (named["from_t_out_p50_ms"], named["from_t_out_p99_ms"]) == (0.5, 2.5)
    assert (named["from_exchange_p50_ms"], named["from_exchange_p99_ms"]) == (7.0, 8.0)
    without = [named[f"from_exchange_without_faults_{at}_ms"] for at in ("p50", "p99")]
    assert without == [10.0, 10.0]


def test_what_flows_in_each_channel_is_the_probe_s() -> None:
    named = of()
    assert (named["trades_per_s"], named["book_per_s"], named["quotes_per_s"]) == (10.0, 9.5, 13.0)
    assert (named["trades_silence_max_s"], named["book_silence_max_s"]) == (9.0, 12.0)


def test_what_was_lost_by_resuming_too_late_has_a_share_of_its_own() -> None:
    named = of({"too_late": 3}, {"announced": 0, "resynced": 100})
    assert (named["delivered_to_programs_share"], named["delivered_with_resync_share"]) == (1.0, 0.9)
    assert (named["resumed_too_late_count"], named["resynced_count"], named["not_recovered_count"]) == (5, 100, 0)
    assert of({"not_recovered": 1}, {"not_recovered": 2})["not_recovered_count"] == 3


def test_uptime_and_faults_are_the_probe_s() -> None:
    named = of()
    assert (named["uptime_share"], named["faults_count"], named["faults_unannounced_count"]) == (1.0, 1, 0)
    assert (named["excused_share"], named["kinds_of_faults_count"]) == (1 / 20, 1)
    assert mixed.figures(MIX, replace(SEEN, injected=[DROP, DROP]))["kinds_of_faults_count"] == 1
    assert of(None, None, {"failures": ["closed"]})["lost_count"] == 1
    assert (named["recovery_max_s"], named["gaps_without_fault_count"]) == (0.0, 0)
    silent = of(None, None, {"gaps": []})
    assert silent["faults_unannounced_count"] == 1
    assert "not announced to all: drop" in mixed.notes(replace(SEEN, probed=PROBED | {"gaps": []}))


def test_reconnects_and_connects_that_fail() -> None:
    named = of(None, {"reconnected": 9, "failures": 3, "lost": 2})
    assert named["reconnect_success_share"] == 0.9
    assert of({"reconnects": 10, "reconnected": 9})["reconnect_success_share"] == 0.95
    assert named["connect_failures_share"] == pytest.approx(1 / (15 + MIX.all))
    assert of({"failed": 2, "reconnects": 1, "reconnected": 1})["connect_failures_share"] == 2 / (16 + MIX.all)
    assert of(None, {"reconnects": 0, "reconnected": 0})["reconnect_success_share"] == 0.0  # nothing was shown


def test_a_gateway_that_sends_nothing_fails_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mixed, "ASKED_EVERY_S", 0.01)
    told = iter([0, 0, 1])
    monkeypatch.setattr(Server, "status", lambda _server: GatewayStatus(next(told, 0), 0, {}))
    server = Server("ours", 1, 1, Path())
    monkeypatch.setattr(mixed, "LIVE_WITHIN_S", 60.0)
    mixed.until_live(server)
    monkeypatch.setattr(mixed, "LIVE_WITHIN_S", 0.02)
    with pytest.raises(ToolError, match="sent nothing"):
        mixed.until_live(server)


def test_a_mix_on_the_real_gateway_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mixed, "AUDIT_S", 0.5)
    monkeypatch.setattr(mixed, "WARMUP_S", 1.0)
    monkeypatch.setattr(unrest, "KINDS", unrest.KINDS[:1])
    monkeypatch.setattr(uptime, "RECOVERY_S", 3.0)
    mix = Mix(**KINDS, programs=10, owners=2, symbols=2, rate=40, faults_every_s=5, minutes=0.15)
    said: list[str] = []
    came = mixed.measure(mix, said.append)
    named = came.figures
    assert (named["unannounced_count"], named["repeated_count"], named["lost_count"]) == (0, 0, 0)
    assert (named["behind_count"], named["silent_streams_count"], named["refused_subscriptions_count"]) == (0, 0, 0)
    assert (named["reconnect_success_share"], named["connect_failures_share"]) == (1.0, 0.0)
    assert (named["faults_count"], named["faults_unannounced_count"]) == (1, 0)
    assert named["misfit_updates_count"] == 0
    for name in hands.NAMES:
        assert (named[f"{name}_count"] or 0.0) > 0, name
        assert named[f"delivered_{name}_share"] == 1.0, name
    assert (named["from_t_out_p99_ms"] or 0.0) > 0
    assert (named["throttled_p99_ms"] or 0.0) > 0
    assert (named["from_exchange_without_faults_p50_ms"] or 0.0) > 0
    assert len(came.samples) >= 3
    assert all(sample.memory_KiB > 1_000 for sample in came.samples)
    assert any(sample.messages_per_s > 0 for sample in came.samples)
    assert [share for share, _ms in came.curve] == sorted(share for share, _ms in came.curve)
    assert named["delivered_to_owners_share"] == 1.0
    assert (named["trades_on_account_per_s"] or 0) > 0
    assert (named["trades_told_share"] or 0) > 0
    assert (named["trades_per_s"] or 0) > 0
    assert (named["book_per_s"] or 0) > 0
    assert said == [
        "25 connections, 10 of them readers, 10 programs and 2 of an account, a fault every 5 s, 0.15 minutes"
    ]


WHOLE = replace(MIX, conns=700)
GOOD = Seen(
    READ | {"readers_alive": WHOLE.conns, "resumed": 1, "resubscribed": 1, "reconnects": 1, "reconnected": 1},
    CAME | {"announced": 0, "resynced": 0},
    PROBED | {"gaps": [[15.0 * n, "quotes SIM0011/USDT", "upstream"] for n in range(5)],
              "slots": [[0.25 * n, True, 0.25 * n] for n in range(320)]},
    [Injected(kind.name, 15.0 * n, 15.0 * n, kind.breaks) for n, kind in enumerate(unrest.KINDS)],
    [Sample(float(at_s), 100.0, 0.1, 50_000) for at_s in range(1, 300)],
    calm=CALM,
)  # fmt: skip
GOOD.probed["gaps"].pop(1)  # slow answers break nothing
BAD: dict[str, dict[str, dict[str, Any]]] = {  # a limit -> what of a good run goes wrong
    "conns_count": {"read": {"readers_alive": 699}},
    "delivered_share": {"read": {"announced_to_readers": 1}},
    "delivered_quotes_share": {"read": {"announced_of_0": 1}},
    "delivered_trades_share": {"read": {"unannounced_of_1": 1}},
    "delivered_book_share": {"read": {"behind_of_3": 1}},
    "delivered_throttled_quotes_share": {"read": {"msgs_of_4": 0}},
    "delivered_throttled_trades_share": {"read": {"announced_of_5": 1}},
    "delivered_to_programs_share": {"came": {"announced": 1}},
    "delivered_to_owners_share": {"came": {"of_account": OWNED | {"resynced": 1}}},
    "private_resumed_per_s": {"came": {"of_account": OWNED | {"resumed": 60}}},
    "trades_on_account_per_s": {"came": {"of_account": OWNED | {"trades": 20, "orders_dealt_min": 20}}},
    "trades_told_share": {"came": {"of_account": OWNED | {"orders_dealt_min": 20}}},
    "trades_failed_count": {"came": {"of_account": OWNED | {"trades_failed": ["trade: no"]}}},
    "trades_per_s": {"probed": {"flow": PROBED["flow"] | {"trades": [4.0, 9.0]}}},
    "book_per_s": {"probed": {"flow": PROBED["flow"] | {"book": [4.0, 12.0]}}},
    "trades_silence_max_s": {"probed": {"flow": PROBED["flow"] | {"trades": [10.0, 30.0]}}},
    "book_silence_max_s": {"probed": {"flow": PROBED["flow"] | {"book": [9.5, 30.0]}}},
    "delivered_with_resync_share": {"came": {"resynced": 1}},
    "reconnect_success_share": {"came": {"reconnected": 9}},
    "resumed_count": {"read": {"resumed": 0}, "came": {"resumed": 0}},
    "resubscribed_count": {"read": {"resubscribed": 0}},
    "uptime_share": {"probed": {"slots": [[0.25 * n, n != 30, 0.25 * n] for n in range(320)]}},
    "kinds_of_faults_count": {},
    "unannounced_count": {"probed": {"unannounced": 1}},
    "misfit_updates_count": {"probed": {"misfit": 1}},
    "behind_count": {"came": {"behind": 1}},
    "silent_streams_count": {"read": {"silent": 1}},
    "refused_subscriptions_count": {"read": {"refused": 1}},
    "repeated_count": {"probed": {"repeated": 1}},
    "lost_count": {"read": {"readers_alive": 699}},
    "not_recovered_count": {"read": {"not_recovered": 1}},
    "connect_failures_share": {"read": {"failed": 1}},
    "faults_unannounced_count": {"probed": {"gaps": GOOD.probed["gaps"][1:]}},
    "gaps_without_fault_count": {"probed": {"gaps": [*GOOD.probed["gaps"], [70.0, "quotes SIM0011/USDT", "upstream"]]}},
    "recovery_max_s": {"probed": {"slots": [[0.25 * n, True, min(0.25 * n, 59.9)] for n in range(320)]}},
    "excused_share": {"probed": {"slots": [[0.25 * n, True, 0.25 * n] for n in (0, *range(80, 120), 120, 180, 240)]}},
    "p99_ms": {"read": {"p99_ms": 50.1}},
    "throttled_p99_ms": {"read": {"throttled_p99_ms": 300.1}},
    "from_exchange_without_faults_p99_ms": {},
    "memory_slope_beyond_noise_KiB_per_h": {},
    "memory_leak_seen_KiB_per_h": {},
}


def missed(seen: Seen, mix: Mix = WHOLE) -> set[str]:
    soak = targets.parse(load.TARGETS.read_text(encoding="utf-8"))["soak"]
    return {each.goal.split()[0] for each in targets.judge(soak, mixed.figures(mix, seen)) if not each.met}


def test_a_good_run_misses_no_limit() -> None:
    assert missed(GOOD) == set()


@pytest.mark.parametrize("limit", BAD)
def test_each_limit_is_missed_when_what_it_is_about_goes_wrong(limit: str) -> None:
    worse = {name: getattr(GOOD, name) | changed for name, changed in BAD[limit].items()}
    seen = replace(GOOD, **worse)
    if limit == "kinds_of_faults_count":
        seen = replace(GOOD, injected=[fault._replace(kind="drop") for fault in GOOD.injected])
    if limit.startswith("from_exchange"):
        seen = replace(GOOD, calm=[(100_100.0, 1)])
    if limit == "memory_leak_seen_KiB_per_h":
        unsteady = [each._replace(memory_KiB=1_000 * (int(each.at_s) // 15 % 2)) for each in GOOD.samples]
        seen = replace(GOOD, samples=unsteady)
    if limit == "memory_slope_beyond_noise_KiB_per_h":
        seen = replace(GOOD, samples=[each._replace(memory_KiB=int(each.at_s)) for each in GOOD.samples])
    mix = replace(WHOLE, conns=699) if limit == "conns_count" else WHOLE
    assert limit in missed(seen, mix)


def test_every_limit_of_a_mix_has_been_seen_to_fail() -> None:
    scenarios = targets.parse(load.TARGETS.read_text(encoding="utf-8"))
    limits = {figure for name in ("mixed", "soak") for side in ("at_least", "at_most")
              for figure in getattr(scenarios[name], side)}  # fmt: skip
    assert limits == set(BAD)
