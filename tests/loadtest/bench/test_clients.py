"""The two clients' command lines and results, side by side."""

from __future__ import annotations

import math
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from loadtest.bench import clients
from loadtest.bench.clients import Load
from loadtest.bench.servers import Server
from loadtest.swarm import Swarm, subscribe

GATEWAY = Server("tickwire", 42, 8765, Path("log"), "/v1/stream", "t_in", "realtime", empty_rss_kib=1_000)
PEER = Server("picows", 43, 9000, Path("log"))
LOAD = Load(conns=10, messages=(subscribe(["S%d/USDT"]),), warmup_s=0.5, seconds=2.0)
COMMON: dict[str, float] = {
    "conns": 10, "alive": 9, "connect_s": 0.1, "msgs": 200, "msg_s": 100.0, "p50_ms": 1.0, "p99_ms": 2.0,
    "p999_ms": 3.0, "max_ms": 4.0, "server_us_per_msg": 5.0, "server_cpu": 0.1, "client_cpu": 0.2,
    "server_rss_kB": 1_100, "min_per_conn": 19, "max_per_conn": 20,
}  # fmt: skip


def options(words: list[str]) -> dict[str, str]:
    start = words.index("-p")
    return dict(zip(words[start::2], words[start + 1 :: 2], strict=True))


def test_wsload_of_the_gateway() -> None:
    asked = options(clients.wsload_command(Path("wsload"), GATEWAY, replace(LOAD, stalled=3)))
    assert asked == {
        "-p": "8765", "-u": "/v1/stream", "-n": "10", "-d": "2.0", "-w": "0.5", "-k": "t_in", "-c": "realtime",
        "-P": "42", "-S": "3", "-s": "sequence", "-m": LOAD.messages[0],
    }  # fmt: skip


def test_wsload_cannot_check_several_streams_of_a_connection() -> None:
    assert "-s" not in options(clients.wsload_command(Path("wsload"), GATEWAY, replace(LOAD, one_stream=False)))


def test_peers_are_asked_for_nothing() -> None:
    asked = options(clients.wsload_command(Path("wsload"), PEER, LOAD))
    assert "-m" not in asked
    assert (asked["-k"], asked["-c"], asked["-u"]) == ("t", "monotonic", "/")


def test_both_results_become_the_same_figures() -> None:
    by_wsload = clients.from_wsload(GATEWAY, LOAD, {**COMMON, "MB_s": 0.035, "gaps": 1})
    by_swarm = clients.from_swarm(
        GATEWAY,
        LOAD,
        {**COMMON, "bytes": 70_000, "unannounced": 1, "announced": 2, "epochs": 0, "repeated": 3},
        [(1_000.0, 7)],
    )
    assert by_wsload.payload_bytes == pytest.approx(by_swarm.payload_bytes) == 350
    assert (by_swarm.buckets, by_wsload.buckets) == ([(1_000.0, 7)], None)
    assert (by_wsload.p50_ms, by_wsload.p99_ms, by_wsload.p999_ms) == (1.016, 2.032, 3.064)  # where buckets end
    assert replace(
        by_swarm,
        buckets=None,
        client="wsload",
        p50_ms=1.016,
        p99_ms=2.032,
        p999_ms=3.064,
        announced=None,
        repeated=None,
        payload_bytes=0.0,
        readers_alive=None,
        announced_to_readers=None,
    ) == replace(by_wsload, payload_bytes=0.0)
    assert by_wsload.kib_per_conn == 10.0
    assert by_wsload.us_per_msg == 5.0


def test_what_a_silent_stream_lacks_is_missing() -> None:
    counted: dict[str, float] = {"bytes": 70_000, "unannounced": 1, "behind": 4, "announced": 0, "repeated": 0}
    assert clients.from_swarm(GATEWAY, LOAD, {**COMMON, **counted}).unannounced == 5


def test_latency_is_told_from_the_stamps_that_there_were() -> None:
    counted: dict[str, float] = {"bytes": 70_000, "unannounced": 0, "announced": 0, "repeated": 0}
    stamps: dict[str, float] = {"out_p50_ms": 0.5, "out_p99_ms": 0.9, "ex_p50_ms": math.nan, "ex_p99_ms": math.nan}
    figures = clients.from_swarm(GATEWAY, LOAD, {**COMMON, **counted, **stamps})
    assert clients.by_stamp(figures) == {
        "from_t_out_p50_ms": 0.5, "from_t_out_p99_ms": 0.9, "from_exchange_p50_ms": None, "from_exchange_p99_ms": None,
    }  # fmt: skip


def test_what_cannot_be_told_is_none() -> None:
    figures = clients.from_wsload(GATEWAY, replace(LOAD, one_stream=False), {**COMMON, "MB_s": 0.0, "gaps": 7})
    assert (figures.unannounced, figures.announced) == (None, None)


@pytest.mark.parametrize(
    ("load", "wsload", "expected"),
    [
        (LOAD, Path("wsload"), "wsload"),
        (LOAD, None, "swarm"),
        (replace(LOAD, audit_s=1.0), Path("wsload"), "swarm"),
        (replace(LOAD, index_modulus=2), Path("wsload"), "swarm"),
    ],
)
def test_our_own_client_is_taken_where_the_other_is_not_enough(
    monkeypatch: pytest.MonkeyPatch, load: Load, wsload: Path | None, expected: str
) -> None:
    def wsload_result(_command: list[str], *, timeout_s: float) -> dict[str, float]:
        assert timeout_s > load.seconds
        return {**COMMON, "MB_s": 1.0, "gaps": 0}

    def swarm_result(_self: Any) -> dict[str, float]:
        return {**COMMON, "bytes": 1, "unannounced": 0, "announced": 0, "repeated": 0}

    monkeypatch.setattr(clients, "last_json_line", wsload_result)
    monkeypatch.setattr(Swarm, "run", swarm_result)
    assert clients.run(GATEWAY, load, wsload).client == expected


def test_the_swarm_is_told_the_same() -> None:
    swarm = clients.swarm_of(GATEWAY, replace(LOAD, stalled=2, audit_s=1.0, index_modulus=5))
    assert (swarm.port, swarm.conns, swarm.server_pid, swarm.stalled) == (8765, 10, 42, 2)
    assert (swarm.audit_s, swarm.index_modulus, swarm.messages) == (1.0, 5, LOAD.messages)
    assert swarm.prefix[0] == sys.executable


def test_a_prober_only_asks() -> None:
    prober = clients.prober(GATEWAY, conns=4, every_ms=17, warmup_s=0.1, seconds=1.0)
    assert (prober.messages, prober.ping_every_ms, prober.conns) == ((), 17, 4)
