"""The figures of a storm, from made results, and that its tokens open the door. A real one is in test_workloads."""

from __future__ import annotations

import base64
import time
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from loadtest.bench import storm
from oms.errors import OmsError
from oms.token_keys import HS256, KeyPair, TokenKey
from oms.tokens import Tokens
from tests.loadtest.bench import made


def test_who_comes_and_comes_back_is_counted_and_timed() -> None:
    named = storm.figures(made.STORM)
    assert [named[name] for name in ("accepted_per_s", "all_subscribed_s", "storm_s", "refused_count")] == [
        60.0, 0.75, 1.25, 0,
    ]  # fmt: skip
    assert (named["client_cpu_while_connecting_share"], named["memory_per_connection_KiB"]) == (0.75, 5.0)
    assert storm.figures(replace(made.STORM, came=made.STORM.came | {"stayed": 29}))["refused_count"] == 1
    assert storm.figures(replace(made.STORM, came=made.STORM.came | {"alive": 28}))["refused_count"] == 2


def test_readers_and_those_who_come_are_its_connections() -> None:
    assert storm.figures(made.STORM)["conns_count"] == 40


def test_who_reads_must_lose_nothing() -> None:
    named = storm.figures(made.STORM)
    assert [named[name] for name in ("lost_count", "missing_count", "p99_ms", "delivered_share")] == [0, 0, 2.0, 1.0]
    read = replace(made.STORM.readers, alive=9, announced=1)
    lost = replace(made.STORM, readers=read, came=made.STORM.came | {"unannounced": 2})
    assert [storm.figures(lost)[name] for name in ("lost_count", "missing_count")] == [1, 3]


def test_nothing_is_configured_but_limits_and_who_signs_tokens(tmp_path: Path) -> None:
    read = tomllib.loads(storm.config_of(1234, 100.0, tmp_path / "secret"))
    assert set(read) == {"default_exchange", "server", "limits", "auth", "exchanges"}
    assert set(read["limits"]) == {"connections_per_user_max", "handshakes_per_ip_burst"}
    assert read["auth"]["jwt"]["keys"][0]["issuer"] == storm.ISSUER
    assert {name: each["options"]["rate"] for name, each in read["exchanges"].items()} == {"bench": 100.0, "quiet": 1.0}


def test_each_token_is_another_and_opens_the_door(tmp_path: Path) -> None:
    secret = bytes(range(32))
    (tmp_path / "secret").write_bytes(base64.urlsafe_b64encode(secret))
    tokens = storm.made_tokens(tmp_path / "secret", 7, 3)
    assert len(set(tokens)) == 3

    def door(key: bytes) -> Tokens:
        known = TokenKey(
            kid=storm.ISSUER, algorithm=HS256, pair=KeyPair(key, None), issuer=storm.ISSUER, audience=storm.ISSUER
        )
        return Tokens(known, started_s=0)

    for token in tokens:
        claims = door(secret).read(token, time.time()).claims
        assert (claims.kid, claims.sub, claims.scope) == (7, "bench", "read")
    with pytest.raises(OmsError):
        door(bytes(32)).read(tokens[0], time.time())
