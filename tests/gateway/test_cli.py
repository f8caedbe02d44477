"""The command line as a person meets it: help, exit codes, one sentence on a failure, and never a traceback."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gateway import __version__
from gateway.cli import app, main

pytestmark = pytest.mark.usefixtures("empty_folder")

SIM = '[server]\nport = {port}\n[exchanges.sim]\nclass = "{klass}"\n'


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        yield holder.getsockname()[1]


def tickwire(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """Run the entry point in this process; its exit code."""
    monkeypatch.setattr(sys, "argv", ["tickwire", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


@contextmanager
def in_a_process(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Run it as a person would, without orders; what commands set up (logs, signals) stays out of the tests.

    It ends with the block, whatever becomes of that.
    """
    with subprocess.Popen(
        [sys.executable, "-m", "gateway.cli", *arguments],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "TICKWIRE_OMS__ENABLED": "false"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()  # of one that has ended nothing


def test_a_process_ends_with_a_test_that_fails() -> None:
    with pytest.raises(AssertionError, match="as asked"), in_a_process("serve") as process:
        raise AssertionError("as asked")
    assert process.returncode == -signal.SIGKILL


def test_help_lists_every_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert tickwire(monkeypatch, "--help") == 0
    out = capsys.readouterr().out
    assert all(name in out for name in ("account", "check", "db", "demo", "exchange", "key", "serve", "user", "watch"))


@pytest.mark.parametrize(
    "command",
    [
        *("check", "demo", "serve", "watch"),
        *(f"user {name}" for name in ("add", "list", "role", "disable", "enable")),
        *(f"key {name}" for name in ("create", "list", "grant", "withdraw", "revoke")),
        *(f"account {name}" for name in ("add", "list", "credentials", "block", "unblock", "master-key", "reseal")),
        *(f"db {name}" for name in ("status", "migrate", "backup", "restore")),
    ],
)
def test_each_command_has_help(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tickwire(monkeypatch, *command.split(), "--help") == 0
    assert f"tickwire {command}" in capsys.readouterr().out


def test_the_version(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert tickwire(monkeypatch, "--version") == 0
    assert capsys.readouterr().out.strip() == __version__


def test_a_failure_is_one_sentence_and_exit_code_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments in (["--config", "nope.toml"], ["nope.toml"]):
        assert tickwire(monkeypatch, "check", *arguments) == 1
        assert capsys.readouterr().err == "tickwire: nope.toml: there is no such file; name another with --config\n"


def test_a_wrong_option_is_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert tickwire(monkeypatch, "watch", "BTC/USDT", "qoutes") != 0
    assert "quotes" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "value", "advice"),
    [
        ("--port", "70000", "Must be <= 65535"),
        ("--port", "-1", "Must be >= 0"),
        ("--exchange-port", "70000", "Must be <= 65535"),
        ("--symbols", "0", "Must be >= 1"),
        ("--rate", "-5", "Must be > 0"),
    ],
)
def test_a_number_that_cannot_be_is_told(
    option: str, value: str, advice: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tickwire(monkeypatch, "demo", option, value) != 0
    err = capsys.readouterr().err
    assert option in err
    assert advice in err


def test_an_interrupt_is_no_failure_to_explain(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(type(app), "__call__", interrupted)
    assert tickwire(monkeypatch, "serve") == 130


def test_every_mistake_of_a_configuration_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("tickwire.toml").write_text("[server]\nprot = 1\nport = -1\n")
    assert tickwire(monkeypatch, "check") == 1
    err = capsys.readouterr().err
    assert "tickwire.toml:2: server.prot" in err
    assert "tickwire.toml:3: server.port" in err


def test_a_taken_port_is_told_without_a_traceback(taken_port: int) -> None:
    Path("tickwire.toml").write_text(SIM.format(port=taken_port, klass="binance"))
    with in_a_process("serve") as process:
        _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert f"tickwire: port {taken_port} on 127.0.0.1 is taken" in err
    assert "Traceback" not in err


def test_an_unknown_exchange_is_told_without_a_traceback() -> None:
    Path("tickwire.toml").write_text(SIM.format(port=0, klass="binanse"))
    with in_a_process("serve") as process:
        _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "tickwire: tickwire.toml:4: exchanges.sim: " in err
    assert "binanse" in err
    assert "binance" in err, "the message offers what was meant"
    assert "Traceback" not in err


def test_a_gateway_of_two_exchanges_watched() -> None:
    tables = "".join(f'[exchanges.{name}]\nclass = "synthetic"\n' for name in ("left", "right"))
    Path("tickwire.toml").write_text(f"[server]\nport = 0\n{tables}")

    def watched(address: str, symbol: str) -> tuple[int, str, str]:
        with in_a_process("watch", symbol, "--url", address, "--count", "1") as watching:
            out, err = watching.communicate(timeout=60)
        return watching.returncode, out, err

    with in_a_process("serve") as process:
        assert process.stderr is not None
        port = next(json.loads(line)["port"] for line in process.stderr if '"listening"' in line)
        code, out, err = watched(f"http://127.0.0.1:{port}", "left:S0/USDT")
        assert (code, len(out.splitlines()), err) == (0, 1, "")
        code, _, err = watched(f"ws://127.0.0.1:{port}", "S0/USDT")
        assert code == 1
        assert err.startswith("tickwire: S0/USDT: no such symbol")
        assert "write exchange:symbol" in err
        code, _, err = watched(f"wss://127.0.0.1:{port}", "left:S0/USDT")
        assert code == 1
        assert re.fullmatch(r"tickwire: wss://\S+ cannot be reached: .+; the gateway there may have no TLS.*\n", err)
        code, _, err = watched("ws://127.0.0.1:99999", "left:S0/USDT")
        assert (code, err) == (1, "tickwire: 'ws://127.0.0.1:99999' is not a WebSocket address: write ws://HOST:PORT\n")
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)
    assert process.returncode == 0


def test_a_demo_serves_until_it_is_interrupted() -> None:
    with in_a_process("demo", "--port", "0", "--symbols", "2", "--no-orders") as process:
        assert process.stdout is not None
        address = ""
        for line in process.stdout:
            if line.startswith("The gateway listens on "):
                address = line.removeprefix("The gateway listens on ").split(";")[0]
            if "Ctrl-C stops both" in line:
                break
        assert address
        with urllib.request.urlopen(f"http://{address}/healthz", timeout=10) as response:
            assert response.status == 200
        with in_a_process("watch", "BTC/USDT", "--url", f"ws://{address}", "--count", "2") as watching:
            out, err = watching.communicate(timeout=60)
        assert (watching.returncode, err) == (0, "")
        assert len(out.splitlines()) == 2
        with in_a_process("watch", "FOO/BAR", "--url", f"ws://{address}") as watching:
            _, err = watching.communicate(timeout=60)
        assert watching.returncode == 1
        assert err.startswith("tickwire: FOO/BAR: no such symbol")
        with in_a_process("watch", "BTC/USDT", "bars", "--timeframe", "7m", "--url", f"ws://{address}") as watching:
            _, err = watching.communicate(timeout=60)
        assert watching.returncode == 1
        assert err.startswith("tickwire: BTC/USDT: the exchange has no such --timeframe")
        with in_a_process("demo", "--port", address.split(":")[1], "--symbols", "1", "--no-orders") as second:
            _, err = second.communicate(timeout=60)
        assert second.returncode == 1
        assert "is taken: stop what uses it, or choose another with --port" in err
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert process.returncode in {0, 130}
    assert "Traceback" not in err
