"""The two ways to a MetaTrader5 module: in this process, and through a real RPyC server in another one."""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from oms.errors import OmsError
from oms.venues.mt5_link import LocalLink, Mt5Options, RemoteLink, open_link, read_options
from tests.oms.venues.terminal import LOGIN, PASSWORD, Terminal, module
from tests.oms.venues.terminal_server import TerminalServer


@pytest.fixture(scope="module")
def server() -> Iterator[TerminalServer]:
    made = TerminalServer()
    made.start()
    yield made
    made.kill()


@pytest.fixture
def local(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    terminal = Terminal()
    monkeypatch.setitem(sys.modules, "MetaTrader5", module(terminal))
    return terminal


ENTER = ("enter", "", LOGIN, PASSWORD, "", 4_000)


def test_options_are_read_and_mistakes_explained() -> None:
    assert read_options({}) == Mt5Options(host=None, port=18812)
    for wrong in ({"hots": "x"}, {"port": 0}, {"port": "many"}, {"timeout_s": 0}):
        with pytest.raises(OmsError, match="options: "):
            read_options(wrong)


def test_a_module_of_this_process_is_asked_and_shut_down_behind_the_last(local: Terminal) -> None:
    one, other = open_link(Mt5Options()), LocalLink(Mt5Options())
    assert one.call(*ENTER) is None
    assert dict(one.call("read")[0])["login"] == LOGIN
    one.abort()  # which changes nothing
    one.close()
    assert (local.shutdowns, other.call("read")[2]) == (0, None)
    other.close()
    assert local.shutdowns == 1


def test_who_uses_the_module_takes_turns_and_does_not_wait_for_ever(local: Terminal) -> None:
    link, gate, entered = LocalLink(Mt5Options(timeout_s=0.02)), threading.Event(), threading.Event()

    def hang() -> tuple[int, str]:
        entered.set()
        gate.wait(20)
        return 1, "Success"

    sys.modules["MetaTrader5"].last_error = hang  # type: ignore[attr-defined]  # it has that
    thread = threading.Thread(target=link.call, args=("read",))
    thread.start()
    entered.wait(5)
    with pytest.raises(TimeoutError):
        link.call("read")
    gate.set()
    thread.join(5)
    link.close()


@pytest.mark.parametrize(("missing", "options"), [("MetaTrader5", Mt5Options()), ("rpyc", Mt5Options(host="x"))])
def test_without_the_package_it_is_said_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, missing: str, options: Mt5Options
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(OmsError, match=missing) as refused:
        open_link(options)
    assert refused.value.code == "unsupported_engine"


def test_a_server_is_asked_by_value_in_one_turn(server: TerminalServer) -> None:
    link = RemoteLink(Mt5Options(**server.options))
    server.do("bench.positions = [position(7)]; bench.deals = {7: [deal(1, 0), deal(2, 1)]}")
    assert link.call(*ENTER) is None
    account, positions, failure = link.call("read")
    assert failure is None
    assert (type(account), dict(account)["login"], dict(positions[0])["ticket"]) == (tuple, LOGIN, 7)
    ((ticket, deals),) = link.call("deals", (7,))
    assert (ticket, len(deals)) == (7, 2)
    link.close()


@pytest.mark.parametrize(
    ("name", "argument"), [("execute", "1"), ("eval", "1"), ("getmodule", "os"), ("__class__", "")]
)
def test_nothing_of_ours_is_open_to_the_server(server: TerminalServer, name: str, argument: str) -> None:
    link = RemoteLink(Mt5Options(**server.options))
    root = link._connection.root
    root.execute("def attack(connection, name, *args):\n    return getattr(connection.root, name)(*args)")
    with pytest.raises((AttributeError, TypeError)):
        root.eval("attack")(root.getconn(), name, argument)
    link.close()


def test_where_nobody_listens_there_is_no_link() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(OSError, match="refused"):
        RemoteLink(Mt5Options(host="127.0.0.1", port=port))


def test_who_listens_and_says_nothing_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(TimeoutError):
        RemoteLink(Mt5Options(host="127.0.0.1", port=silent.getsockname()[1], timeout_s=0.05))


def test_a_call_that_waits_is_broken_off(server: TerminalServer) -> None:
    link = RemoteLink(Mt5Options(**server.options))
    link.call(*ENTER)
    server.do("bench.hang_s = 0.5")
    raised: list[Any] = []

    def read() -> None:
        try:
            link.call("read")
        except EOFError as error:
            raised.append(error)

    thread = threading.Thread(target=read)
    thread.start()
    link.abort()
    thread.join(5)
    assert not thread.is_alive()
    assert len(raised) == 1
    link.abort()  # once more is no fault
    server.do("bench.hang_s = 0.0")
