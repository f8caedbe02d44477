"""Tables for people and JSON for programs, of the same rows."""

from __future__ import annotations

import json

import pytest

from gateway.commands.show import account_row, key_row, show, show_one, user_row
from oms.model import Account, ApiKey, Permission, User

KEY = ApiKey(
    id=7, user=User(id=1, name="ann"), prefix="0123456789ab", hash=b"the hash", created_ns=0,
    revoked_ns=1_500_000_000, permissions={2: Permission(account_id=2, can_read=False, strategies=frozenset({4, 3}))},
)  # fmt: skip


def test_a_table_is_as_wide_as_its_widest(capsys: pytest.CaptureFixture[str]) -> None:
    show([{"a": 1, "b": None}, {"a": True, "b": ["x", "y"]}, {"a": "long", "b": []}], ("a", "b"), json=False)
    assert capsys.readouterr().out == "a     b\n1     -\nyes   x y\nlong  -\n"


def test_nothing_is_a_table_too(capsys: pytest.CaptureFixture[str]) -> None:
    show([], ("a", "b"), json=False)
    assert capsys.readouterr().out == "a  b\n"
    show([], ("a", "b"), json=True)
    assert capsys.readouterr().out == "[]\n"


def test_programs_get_every_field(capsys: pytest.CaptureFixture[str]) -> None:
    show([key_row(KEY)], ("id",), json=True)
    (row,) = json.loads(capsys.readouterr().out)
    assert row == {
        "id": 7, "user": "ann", "name": "", "prefix": "tw_0123456789ab", "scopes": ["read", "trade"],
        "accounts": [{"account_id": 2, "may": [], "strategy_ids": [3, 4]}], "requests_per_s": None,
        "created_at": "1970-01-01T00:00:00.000Z", "expires_at": None, "last_used_at": None,
        "revoked_at": "1970-01-01T00:00:01.500Z",
    }  # fmt: skip
    show([key_row(KEY)], ("id", "accounts"), json=False)
    assert capsys.readouterr().out.splitlines()[1] == "7   2:nothing strategies 3,4"


def test_one_is_an_object_or_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    row = user_row(User(id=1, name="ann"))
    show_one(row, "There she is", json=False)
    show_one(row, "There she is", json=True)
    sentence, text = capsys.readouterr().out.splitlines()
    assert sentence == "There she is"
    assert json.loads(text) == {"id": 1, "name": "ann", "role": "trader", "disabled": False}


def test_an_account_says_whether_it_can_be_opened() -> None:
    row = account_row(Account(id=1, name="main", exchange="sim", epoch="e"), has_credentials=True)
    assert row["credentials"] is True
    assert "epoch" not in row
