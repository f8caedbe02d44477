"""`tickwire demo`: the exchange and the gateway joined, and what a person is told to try."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.commands import demo as module
from gateway.commands.demo import demo, orders_to_try, settings, what_to_try
from gateway.commands.demo_account import Trades
from gateway.commands.failure import CommandError
from gateway.config import Config


class Exchange:
    """Stands for the child process, and notes what happened to it."""

    def __init__(self) -> None:
        self.arguments: list[str] = []
        self.stopped = False
        self.has_ended = False

    def __call__(self, arguments: list[str]) -> Exchange:
        self.arguments = arguments
        return self

    def wait_ready(self) -> str:
        return "http://127.0.0.1:9"

    def on_end(self, tell: Callable[[], None]) -> None:
        if self.has_ended:
            tell()

    def stop(self) -> None:
        self.stopped = True


@pytest.fixture
def exchange(monkeypatch: pytest.MonkeyPatch) -> Exchange:
    child = Exchange()
    monkeypatch.setattr(module, "ExchangeProcess", child)
    monkeypatch.setattr("gateway.log.configure", lambda _level: None)
    return child


@pytest.fixture
def prepared(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Path]:
    """The folders in which an account was prepared."""
    folders: list[Path] = []

    def prepare(_config: Config, state: Path, *, keep: bool) -> Trades:
        folders.append(state)
        return Trades(7, "the-key", is_new=not keep)

    monkeypatch.setenv("TICKWIRE_STATE_DIR", str(tmp_path))
    monkeypatch.setattr(module, "prepare", prepare)
    return folders


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[Config]:
    """The configurations that were served; each is told that port 10 is open."""
    configs: list[Config] = []

    def start(config: Config, ready: Callable[[int], None], *, port_setting: str, orders_setting: str) -> None:
        assert port_setting == "--port"
        assert "--no-orders" in orders_setting
        configs.append(config)
        ready(10)

    monkeypatch.setattr(module, "start", start)
    return configs


@pytest.mark.usefixtures("served")
def test_it_ends_with_its_exchange(exchange: Exchange, monkeypatch: pytest.MonkeyPatch) -> None:
    signals: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "kill", lambda process, number: signals.append((process, number)))
    exchange.has_ended = True
    with pytest.raises(CommandError, match="the simulated exchange has ended"):
        demo(no_orders=True)
    assert signals == [(os.getpid(), signal.SIGTERM)]
    assert exchange.stopped


def test_the_simulated_exchange_is_the_default_one() -> None:
    config = settings(7, "http://127.0.0.1:9", Trades(3, "k"))
    assert (config.server.port, config.default_exchange, list(config.exchanges)) == (7, "sim", ["sim"])
    assert config.exchanges["sim"].klass == "binance"
    assert "http://127.0.0.1:9" in str(config.exchanges["sim"].options)


def test_its_dashboards_show_the_account_that_it_opens() -> None:
    config = settings(7, "http://127.0.0.1:9", Trades(3, "k"))
    assert (config.dashboard.symbols, config.dashboard.account_id, config.oms.enabled) == (["BTC/USDT"], 3, True)
    config = settings(7, "http://127.0.0.1:9", None)
    assert (config.dashboard.account_id, config.oms.enabled) == (None, False)


def test_a_made_up_market_unless_a_recording_is_named(
    exchange: Exchange, served: list[Config], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    demo(port=7, symbols=3, rate=5.0, seed=2, no_orders=True)
    assert exchange.arguments == ["--port", "0", "--synthetic", "--symbols", "3", "--rate", "5.0", "--seed", "2"]
    assert exchange.stopped
    assert served == [settings(7, "http://127.0.0.1:9", None)]
    told = capsys.readouterr().out
    assert "watch BTC/USDT quotes --url ws://127.0.0.1:10" in told
    assert "Orders" not in told

    recording = tmp_path / "a.gz"
    recording.touch()
    demo(replay=(recording, recording), exchange_port=5, speed="max", loop=True, no_orders=True)
    assert exchange.arguments == ["--port", "5", "--replay", str(recording), str(recording), "--speed", "max", "--loop"]


def test_orders_are_kept_in_a_folder_of_the_demonstration(
    exchange: Exchange,
    served: list[Config],
    prepared: list[Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    demo()
    assert served == [settings(8765, "http://127.0.0.1:9", Trades(7, "the-key"))]
    assert os.environ["TICKWIRE_STATE_DIR"] == str(tmp_path / "demo"), "where the gateway looks for it"
    told = capsys.readouterr().out
    assert "  export KEY=the-key\n" in told
    assert "earlier demos" not in told
    monkeypatch.chdir(tmp_path)
    demo(state=Path("here"), keep=True)
    assert prepared == [tmp_path / "demo", tmp_path / "here"]
    assert "what earlier demos left" in capsys.readouterr().out


def test_a_database_of_somebody_else_is_kept(
    exchange: Exchange,
    served: list[Config],
    prepared: list[Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("TICKWIRE_DATABASE_URL", "postgresql://elsewhere")
    demo()
    assert "what earlier demos left" in capsys.readouterr().out


def test_the_exchange_ends_when_the_gateway_cannot_start(exchange: Exchange, monkeypatch: pytest.MonkeyPatch) -> None:
    def start(_config: Config, _ready: Callable[[int], None], **_settings: str) -> None:
        raise CommandError("port 8765 is taken")

    monkeypatch.setattr(module, "start", start)
    with pytest.raises(CommandError, match="taken"):
        demo(no_orders=True)
    assert exchange.stopped


def test_what_cannot_be_is_refused_before_anything_starts(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="exclude each other"):
        demo(replay=(tmp_path,), synthetic=True)
    with pytest.raises(CommandError, match=r"--speed is of a recording.*--replay"):
        demo(speed="10")
    with pytest.raises(CommandError, match=r"--loop is of a recording.*--replay"):
        demo(synthetic=True, loop=True)
    with pytest.raises(CommandError, match=r"no such recording: .*nope\.gz"):
        demo(replay=(tmp_path / "nope.gz",))


def test_what_to_try_names_the_ports() -> None:
    text = what_to_try(10, "http://127.0.0.1:9", None)
    assert text.count("127.0.0.1:10") >= 7
    assert "`sim`, on http://127.0.0.1:9" in text
    assert orders_to_try(10, Trades(7, "k")).count("127.0.0.1:10") == 5
