"""`tickwire token` as it is typed, on a real database."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from oms.store import admin
from oms.store.pool import Connection
from oms.token_keys import EDDSA, HS256, parse
from tests.gateway.commands.conftest import Ran

Tickwire = Callable[..., Ran]
Ask = Callable[[Callable[[Connection], Any]], Any]


def test_a_key_is_made_and_its_public_half_is_told(tickwire: Tickwire, tmp_path: Path) -> None:
    file = tmp_path / "private.pem"
    file.write_text(tickwire("token", "key").out)
    made, public = parse(EDDSA, file.read_bytes()), parse(EDDSA, tickwire("token", "public", str(file)).out.encode())
    assert made.signing is not None
    assert (public.signing, public.verifying) == (None, made.verifying)
    assert len(parse(HS256, tickwire("token", "key", "HS256").out.encode()).signing) == 32


@pytest.mark.parametrize("content", ["no key", "é"])
def test_what_is_no_key_has_no_public_half(tickwire: Tickwire, tmp_path: Path, content: str) -> None:
    file = tmp_path / "private.pem"
    file.write_text(content)
    ran = tickwire("token", "public", str(file))
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith(f"tickwire: {file}: ")


def test_tokens_are_revoked_and_that_is_listed(tickwire: Tickwire, ask: Ask) -> None:
    tickwire("user", "add", "ann")
    prefix = json.loads(tickwire("key", "create", "ann", "--json").out)["prefix"]
    for kind, name in (("token", "-9j1"), ("signing-key", "2026-10"), ("api-key", prefix), ("user", "ann")):
        ran = tickwire("token", "revoke", kind, name)
        assert (ran.code, ran.err) == (0, "")
    tickwire("token", "revoke", "user", "ann")
    rows = json.loads(tickwire("token", "revoked", "--json").out)
    assert {(row["kind"], row["name"]) for row in rows} == {
        ("token", "-9j1"), ("signing-key", "2026-10"), ("api-key", "1"), ("user", "ann"),
    }  # fmt: skip
    assert rows[-1]["kind"] == "user", "what is revoked again is so from then on"
    assert "signing-key  2026-10" in tickwire("token", "revoked").out
    noted = ask(lambda db: db.fetch("SELECT subject FROM audit_log WHERE action = 'token.revoke' ORDER BY id"))
    assert [row["subject"] for row in noted][1:3] == ["signing-key 2026-10", "api-key 1"]


@pytest.mark.parametrize(("kind", "name"), [("user", "bob"), ("api-key", "9"), ("token", " "), ("token", "a\nb")])
def test_who_is_not_there_has_no_tokens(tickwire: Tickwire, ask: Ask, kind: str, name: str) -> None:
    assert tickwire("token", "revoke", kind, name).code == 1
    assert ask(admin.revocations) == []
