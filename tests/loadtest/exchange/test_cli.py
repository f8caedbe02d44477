"""The command line: what it prints, how it ends, what it refuses."""

import asyncio
import json
import re
import signal
import socket
import sys
import urllib.request
from pathlib import Path

import pytest

from loadtest.exchange import cli
from tests.loadtest.exchange.tools import write_recording

REPOSITORY = Path(__file__).parents[3]


async def _start(*arguments: str) -> tuple[asyncio.subprocess.Process, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "loadtest.exchange", *arguments,
        cwd=REPOSITORY, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    line = (await asyncio.wait_for(process.stdout.readline(), 60)).decode()
    found = re.fullmatch(r"exchange listening on (http://127\.0\.0\.1:\d+)\n", line)
    if not found:
        process.kill()
        pytest.fail(f"not the line promised: {line!r}")
    return process, found[1]


async def _stop(process: asyncio.subprocess.Process) -> None:
    """SIGTERM ends it cleanly and silently."""
    process.send_signal(signal.SIGTERM)
    rest, errors = await asyncio.wait_for(process.communicate(), 60)
    assert (process.returncode, rest, errors) == (0, b"", b"")


def _feed(base_url: str) -> dict[str, object]:
    with urllib.request.urlopen(f"{base_url}/admin/status") as answer:
        feed = json.loads(answer.read())["feed"]
    assert isinstance(feed, dict)
    return feed


async def test_a_synthetic_exchange() -> None:
    process, base_url = await _start("--synthetic", "--symbols", "3", "--rate", "5", "--seed", "7")
    feed = await asyncio.to_thread(_feed, base_url)
    await _stop(process)
    assert (feed["symbols"], feed["rate"], feed["seed"]) == (3, 5, 7)


async def test_a_replaying_exchange(tmp_path: Path) -> None:
    write_recording(tmp_path / "one.gz", seconds=1)
    process, base_url = await _start(
        "--replay", str(tmp_path / "one.gz"), "--speed", "max", "--start-on", "command", "--port", "0"
    )
    feed = await asyncio.to_thread(_feed, base_url)
    await _stop(process)
    assert (feed["state"], feed["speed"], feed["start_on"]) == ("waiting", "max", "command")


async def test_the_end_of_a_recording_is_told(tmp_path: Path) -> None:
    write_recording(tmp_path / "one.gz", seconds=1)
    process, _ = await _start("--replay", str(tmp_path / "one.gz"), "--speed", "max", "--start-on", "now")
    assert process.stdout is not None
    line = await asyncio.wait_for(process.stdout.readline(), 60)
    await _stop(process)
    assert line.decode().startswith("the recording has ended")


def test_a_taken_port(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert cli.main(["--port", str(port)]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"exchange: cannot listen on 127.0.0.1:{port}: ")


def test_a_file_that_is_no_recording(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--replay", str(tmp_path / "missing.gz")]) == 1
    assert "missing.gz" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "advice"),
    [
        (["--speed", "0"], "--speed: '0' is not a number above 0"),
        (["--speed", "fast"], "--speed: 'fast' is not a number above 0"),
        (["--port", "70000"], "--port: '70000' is not a port: 0 to 65535"),
        (["--port", "-1"], "--port: '-1' is not a port: 0 to 65535"),
        (["--port", "http"], "--port: 'http' is not a port: 0 to 65535"),
        (["--symbols", "0"], "--symbols: '0' is not a whole number of at least 1"),
        (["--rate", "-5"], "--rate: '-5' is not a number of at least 0"),
        (["--rate", "inf"], "--rate: 'inf' is not a number of at least 0"),
        (["--rate", "nan"], "--rate: 'nan' is not a number of at least 0"),
        (["--age-s", "-1"], "--age-s: '-1' is not a number of seconds, at least 0"),
        (["--replay", "a", "--synthetic"], "not allowed with argument"),
    ],
)
def test_wrong_arguments(arguments: list[str], advice: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as refused:
        cli.main(arguments)
    assert refused.value.code == 2
    err = capsys.readouterr().err
    assert "usage" in err
    assert advice in err
