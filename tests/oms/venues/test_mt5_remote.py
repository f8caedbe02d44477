"""What is asked of the module: in values that travel, and the terminal's own word where it says no."""

from __future__ import annotations

import ast
import inspect
from typing import Any

import pytest

from oms.venues import mt5_remote
from tests.oms.venues.terminal import LOGIN, PASSWORD, Terminal, account, deal, module, position


@pytest.fixture
def terminal() -> Terminal:
    return Terminal()


def enter(terminal: Terminal, password: str = PASSWORD, path: str = "") -> Any:
    return mt5_remote.enter(module(terminal), path, LOGIN, password, "Broker-Demo", 4_000)


def is_plain(value: Any) -> bool:
    if type(value) is tuple:
        return all(map(is_plain, value))
    return value is None or type(value) in {bool, int, float, str}


def test_a_terminal_is_entered_once(terminal: Terminal) -> None:
    assert enter(terminal) is None
    assert enter(terminal, path="C:/terminal64.exe") is None
    assert terminal.calls.count("login") == 1, "who is in is not asked again"


def test_why_it_cannot_be_entered_is_told(terminal: Terminal) -> None:
    assert enter(terminal, "wrong") == (-6, "Terminal: Authorization failed")
    terminal.is_running = False
    assert enter(terminal) == (-10005, "IPC timeout")


def test_an_account_and_its_positions_travel_by_value(terminal: Terminal) -> None:
    terminal.positions = [position(7)]
    enter(terminal)
    told, positions, failure = mt5_remote.read(module(terminal))
    assert failure is None
    assert is_plain((told, positions))
    assert dict(told) == account()._asdict()
    assert dict(positions[0]) == position(7)._asdict()


def test_nothing_is_told_while_the_terminal_changes_hands(terminal: Terminal) -> None:
    enter(terminal)
    mt5 = module(terminal)

    def positions_get() -> Any:
        terminal.login = LOGIN + 1
        return ()

    mt5.positions_get = positions_get  # type: ignore[attr-defined]  # as the module has it
    assert mt5_remote.read(mt5)[2] == (0, "the terminal has changed its account")


def test_a_terminal_that_is_gone_says_so(terminal: Terminal) -> None:
    assert mt5_remote.read(module(terminal)) == (None, (), (-10004, "No IPC connection"))


def test_deals_are_told_of_what_it_knows(terminal: Terminal) -> None:
    terminal.deals = {7: [deal(1, 0)]}
    told = mt5_remote.deals(module(terminal), (7, 8))
    assert is_plain(told)
    assert [ticket for ticket, _ in told] == [7, 8]
    assert dict(told[0][1][0])["entry"] == 0
    assert told[1] == (8, ())


def test_it_needs_nothing_that_an_old_python_without_us_has_not() -> None:
    tree = ast.parse(inspect.getsource(mt5_remote), feature_version=(3, 7))
    modules = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert modules == {"__future__", "typing"}
    assert not any(isinstance(node, ast.Import) for node in ast.walk(tree))
