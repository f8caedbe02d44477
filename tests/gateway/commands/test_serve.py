"""`tickwire serve` and `tickwire check`: which configuration they take, and what they say when it cannot be served."""

from __future__ import annotations

import errno
import re
from collections.abc import Callable
from pathlib import Path

import pytest

import _speedups
from gateway import process
from gateway.commands.failure import CommandError
from gateway.commands.serve import check, find, serve, start, with_workers
from gateway.config import Config, OmsConfig, ServerConfig
from gateway.config_file import ConfigError
from gateway.errors import TickwireError
from gateway.limits import Limits
from gateway.sources import synthetic
from gateway.sources.config import ExchangeConfig

pytestmark = pytest.mark.usefixtures("empty_folder")

FILE = '[exchanges.sim]\nclass = "binance"\n[exchanges.paper]\nclass = "bitmex"\nsandbox = true\n'


@pytest.fixture
def fail_with(monkeypatch: pytest.MonkeyPatch) -> Callable[[Exception], None]:
    """Make the gateway end with an error."""

    def arrange(error: Exception) -> None:
        async def run(_config: Config, *, ready: Callable[[int], None] | None = None) -> None:
            raise error

        monkeypatch.setattr(process, "run", run)

    return arrange


def test_the_file_of_this_folder_is_found() -> None:
    Path("tickwire.toml").write_text(FILE)
    assert set(find(None).exchanges) == {"sim", "paper"}


def test_a_named_file_is_taken_and_must_exist() -> None:
    Path("other.toml").write_text(FILE)
    assert set(find(Path("other.toml")).exchanges) == {"sim", "paper"}
    with pytest.raises(ConfigError, match="no such file"):
        find(Path("third.toml"))


def test_no_exchange_is_said_with_what_to_write() -> None:
    with pytest.raises(CommandError, match=r"tickwire\.toml \(which is not there.*\n\n\[exchanges\.binance\]"):
        find(None)
    Path("tickwire.toml").write_text("")
    with pytest.raises(CommandError, match=r"write into tickwire\.toml:"):
        serve()


def test_check_says_what_would_be_served(capsys: pytest.CaptureFixture[str]) -> None:
    Path("tickwire.toml").write_text(f'default_exchange = "sim"\n{FILE}[server]\nport = 9\n')
    check()
    assert capsys.readouterr().out.splitlines() == [
        "The configuration is right: listen on 127.0.0.1:9",
        "  sim (default): binance",
        "  paper: bitmex, sandbox",
    ]


def test_check_says_that_symbols_need_a_prefix(capsys: pytest.CaptureFixture[str]) -> None:
    Path("tickwire.toml").write_text(FILE)
    check()
    assert capsys.readouterr().out.splitlines()[-1] == (
        "No exchange is the default: symbols need a prefix (sim:BTC/USDT), or set `default_exchange`"
    )
    Path("tickwire.toml").write_text('[exchanges.sim]\nclass = "binance"\n')
    check()
    assert "prefix" not in capsys.readouterr().out


@pytest.mark.parametrize("command", [check, serve])
def test_an_exchange_that_is_none_is_found(command: Callable[[], None]) -> None:
    Path("tickwire.toml").write_text(f'{FILE}[exchanges.typo]\nsandbox = false\nclass = "binanse"\n')
    with pytest.raises(ConfigError, match=r"^tickwire\.toml:8: exchanges\.typo: .*'binanse'.*binance"):
        command()


@pytest.mark.parametrize(
    ("table", "line"),
    [
        ('class = "kraken"\noptions = {}\nsandbox = true', 4),
        ('class = "synthetic"\npoll_interval_ms = 100\n[exchanges.x.options]\nsymbols = -1', 4),
        ('class = "mt5"\n[exchanges.x.options]\nport = 0', 3),
    ],
)
def test_the_line_of_the_setting_that_is_wrong(table: str, line: int) -> None:
    Path("tickwire.toml").write_text(f"[exchanges.x]\n{table}\n")
    with pytest.raises(ConfigError, match=rf"^tickwire\.toml:{line}: exchanges\.x: "):
        check()


def test_a_certificate_that_cannot_be_used_is_found() -> None:
    Path("tickwire.toml").write_text(f'[server]\ntls_certificate = "none.pem"\ntls_key = "key.pem"\n{FILE}')
    with pytest.raises(ConfigError, match=r"^tickwire\.toml:2: server\.tls_certificate: none\.pem .*No such file"):
        check()


def test_check_finds_an_exchange_of_the_environment_that_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TICKWIRE_EXCHANGES__TYPO__CLASS", "binanse")
    with pytest.raises(ConfigError, match=r"^environment variable TICKWIRE_EXCHANGES__TYPO__CLASS: exchanges\.typo: "):
        check()


def test_check_shows_no_secret(capsys: pytest.CaptureFixture[str]) -> None:
    Path("tickwire.toml").write_text(f'{FILE}[exchanges.paper.options]\napiKey = "hunter2"\n')
    check()
    assert "hunter2" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        (OSError(errno.EADDRINUSE, "in use"), "port 8765 on 127.0.0.1 is taken"),
        (OSError(errno.EADDRNOTAVAIL, "x"), "127.0.0.1 is no address of this machine"),
        (PermissionError(errno.EACCES, "x"), "port 8765 needs rights"),
        (OSError(errno.EMFILE, "x"), "ulimit -n"),
        (TickwireError("validation_error", "no exchange class `binanse`"), "no exchange class `binanse`$"),
        (TickwireError("engine_unavailable", "no database"), r"no database; .*: `enabled = false` of \[oms\]$"),
    ],
)
def test_a_failure_to_serve_is_told_with_what_helps(
    fail_with: Callable[[Exception], None], error: Exception, advice: str
) -> None:
    fail_with(error)
    with pytest.raises(CommandError, match=advice):
        start(Config())


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        (OSError(errno.EADDRINUSE, "in use"), "choose another with --port$"),
        (PermissionError(errno.EACCES, "x"), "set --port to 1024 or more$"),
    ],
)
def test_the_advice_names_what_the_user_can_set(
    fail_with: Callable[[Exception], None], error: Exception, advice: str
) -> None:
    fail_with(error)
    with pytest.raises(CommandError, match=advice):
        start(Config(), port_setting="--port")


def test_an_error_nobody_foresaw_keeps_its_traceback(fail_with: Callable[[Exception], None]) -> None:
    fail_with(OSError(errno.EIO, "disk"))
    with pytest.raises(OSError, match="disk"):
        start(Config(server=ServerConfig(port=1)))


@pytest.mark.parametrize("host", ["nohost.invalid", "256.1.1.1"])
def test_a_host_that_does_not_resolve_is_told(host: str) -> None:
    exchange = ExchangeConfig(klass=synthetic.KLASS)
    server = ServerConfig(host=host, port=0)
    settings = Config(server=server, exchanges={"made": exchange}, oms=OmsConfig(enabled=False))
    with pytest.raises(CommandError, match=f"^there is no host '{re.escape(host)}' on this machine: set `host`"):
        start(settings)


def test_missing_compiled_modules_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_speedups, "missing", lambda: ["book", "frame"])
    with pytest.raises(CommandError, match=r"missing: book, frame; run `make setup`"):
        start(Config())


def test_the_number_of_processes_is_what_the_command_says() -> None:
    settings = with_workers(Config(), 3)
    assert settings.server.workers == 3
    assert settings.server.port == Config().server.port
    with pytest.raises(CommandError, match=r"--workers 0: .*>= 1"):
        with_workers(Config(), 0)
    one = Config(limits=Limits(link_window_bytes=1_000_000))
    with pytest.raises(
        CommandError, match=r"--workers 3: .*queue_append_bytes \+ link_window_bytes <= queue_bytes_max"
    ):
        with_workers(one, 3)
