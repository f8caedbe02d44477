"""`tickwire trading` as it is typed: what the order desk reads is what was said, and the audit log knows of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from oms.store import admin
from oms.store.pool import Connection
from tests.gateway.commands.conftest import Ran

Tickwire = Callable[..., Ran]
Ask = Callable[[Callable[[Connection], Awaitable[Any]]], Any]


async def stored(connection: Connection) -> Any:
    return await admin.setting(connection, admin.KILL_SWITCH)


async def audited(connection: Connection) -> list[Any]:
    return [
        (row["action"], row["details"]["trading_state"])
        for row in await connection.fetch("SELECT action, details FROM audit_log ORDER BY id")
    ]


def test_trading_is_halted_and_taken_up_again_for_all_accounts(tickwire: Tickwire, ask: Ask) -> None:
    assert tickwire("trading") == (0, "Trading is active for all accounts\n", "")
    assert ask(stored) is None
    for state in ("halted", "reducing", "active"):
        assert tickwire("trading", state) == (0, f"Trading is {state} for all accounts\n", "")
        assert ask(stored) == state
        assert tickwire("trading").out == f"Trading is {state} for all accounts\n"
    assert ask(audited) == [("trading.change", state) for state in ("halted", "reducing", "active")]


def test_a_word_that_is_no_state_changes_nothing(tickwire: Tickwire, ask: Ask) -> None:
    tickwire("trading", "reducing")
    assert tickwire("trading", "off").code == 2
    assert ask(stored) == "reducing"
