"""Log lines: their shape on and off a terminal, and that no secret is ever in one."""

from __future__ import annotations

import asyncio
import datetime
import io
import json
import logging
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from gateway.log import MASK, configure, mask, mask_text, masking_uncaught


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _undo() -> Iterator[None]:
    root = logging.getLogger()
    before = (root.handlers[:], root.level)
    yield
    root.handlers[:] = before[0]
    root.setLevel(before[1])
    structlog.reset_defaults()


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_off_a_terminal_a_line_is_one_json_object() -> None:
    stream = io.StringIO()
    configure(stream=stream)
    structlog.get_logger("gateway.app").info("listening", port=8765)
    (line,) = lines(stream)
    assert line.pop("timestamp").endswith("Z")
    assert line == {"event": "listening", "port": 8765, "level": "info", "logger": "gateway.app"}


def test_words_without_end_are_looked_through_once() -> None:
    """By a square of their length this would take minutes."""
    words = " ".join(name * 20_000 for name in ("token", "api_key-", "secret_", "a"))
    assert mask_text(words) == words
    assert mask_text(f"{words}_token=hunter2") == f"{words}_token={MASK}"


def test_on_a_terminal_a_line_is_for_people() -> None:
    stream = Terminal()
    configure(stream=stream)
    structlog.get_logger("gateway.app").warning("exchange is silent", exchange="sim")
    assert "exchange is silent" in stream.getvalue()
    assert not stream.getvalue().startswith("{")


def test_the_layout_can_be_forced() -> None:
    stream = Terminal()
    configure(layout="json", stream=stream)
    structlog.get_logger("x").info("listening")
    assert lines(stream)[0]["event"] == "listening"


def test_below_the_level_nothing_is_written() -> None:
    stream = io.StringIO()
    configure(level="warning", stream=stream)
    structlog.get_logger("x").info("quiet")
    logging.getLogger("library").info("quiet")
    assert stream.getvalue() == ""


def test_libraries_log_in_the_same_shape() -> None:
    stream = io.StringIO()
    configure(stream=stream)
    logging.getLogger("library").warning("lost %s", "it", extra={"host": "h"})
    (line,) = lines(stream)
    assert (line["event"], line["logger"], line["host"]) == ("lost it", "library", "h")


def test_a_line_a_connection_is_too_much() -> None:
    stream = io.StringIO()
    configure(stream=stream)
    logging.getLogger("picows.server").info("new connection")
    assert stream.getvalue() == ""


def test_secrets_are_masked_in_fields_messages_and_tracebacks() -> None:
    stream = io.StringIO()
    configure(stream=stream)
    log = structlog.get_logger("x")
    log.info("dial wss://h/ws?token=hunter2", apiKey="hunter2", headers={"Authorization": "Bearer hunter2"})
    logging.getLogger("library").warning("signature=%s", "hunter2")
    try:
        raise ValueError("api_secret: hunter2")
    except ValueError:
        log.exception("failed")
    assert "hunter2" not in stream.getvalue()
    assert len(lines(stream)) == 3
    assert "ValueError" in lines(stream)[2]["exception"]


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("GET /ws?token=abc&symbol=X", "GET /ws?token=***&symbol=X"),
        ('{"apiKey": "abc", "symbol": "X"}', '{"apiKey": "***", "symbol": "X"}'),
        ("{'secret': 'abc'}", "{'secret': '***'}"),
        ("Authorization: Bearer abc.def", "Authorization: Bearer ***"),
        ("/ws%3Ftoken%3Dabc", "/ws%3Ftoken%3D***"),
        (
            "-----BEGIN PRIVATE KEY-----\nMC4CAQ\n-----END PRIVATE KEY-----",
            "-----BEGIN PRIVATE KEY-----***-----END PRIVATE KEY-----",
        ),
        ("x-tickwire-signature: abc", "x-tickwire-signature: ***"),
        ("tokens=3", "tokens=3"),
        ("subprotocol bearer.eyJhbGciOi", "subprotocol bearer.***"),
        ("X-MBX-APIKEY: abc", "X-MBX-APIKEY: ***"),
        ("postgresql://user:abc@host/db", "postgresql://user:***@host/db"),
        ("?timestamp=1&signature=abc", "?timestamp=1&signature=***"),
        ("the key tw_0123456789ab_0a1b2c was shown", "the key tw_0123456789ab_*** was shown"),
        ("got eyJhbGciOiJI.eyJzdWIiOiJhbm4.c2ln-_, refused", "got eyJhbGciOiJI.***, refused"),
        ("tw_0123456789ab is key 7", "tw_0123456789ab is key 7"),
        ("BTC/USDT at 10:30 is quiet", "BTC/USDT at 10:30 is quiet"),
    ],
)
def test_text_is_masked(text: str, masked: str) -> None:
    assert mask_text(text) == masked


def test_values_are_masked_by_name_at_any_depth() -> None:
    assert mask({"a": [{"password": "x", "user": "u"}], "n": 1, "token": None}) == {
        "a": [{"password": "***", "user": "u"}],
        "n": 1,
        "token": None,
    }


class Request:
    """Something of a library, that shows what it was made of."""

    def __repr__(self) -> str:
        return "<Request /ws?token=hunter2>"


def test_what_is_no_text_is_masked_as_what_it_is_shown_as() -> None:
    stream = io.StringIO()
    configure(stream=stream)
    structlog.get_logger("x").info(
        "asked", raw=b"token=hunter2", by=Request(), error=ValueError("password: hunter2"), at=Path("/x"),
        headers=[(b"x-api-key", b"hunter2"), ("cookie", "hunter2"), (b"host", b"h")],
        scope={b"authorization": b"hunter2"}, number=1, when=datetime.date(2026, 11, 21),
    )  # fmt: skip
    (line,) = lines(stream)
    assert "hunter2" not in stream.getvalue()
    assert (line["by"], line["number"], line["when"]) == ("<Request /ws?token=***", 1, "2026-11-21")
    assert line["headers"][2] == ["b'host'", "b'h'"]


def test_what_nobody_catches_is_masked_in_every_thread() -> None:
    stream = io.StringIO()
    configure(stream=stream)
    before = (threading.excepthook, sys.unraisablehook)

    def fail() -> None:
        raise ValueError("api_key=hunter2")

    class Failing:
        def __del__(self) -> None:
            fail()

    def fail_everywhere() -> None:
        with masking_uncaught(KeyError):
            thread = threading.Thread(target=fail, name="t1")
            thread.start()
            thread.join()
            Failing()
            fail()

    with pytest.raises(SystemExit) as ended:
        fail_everywhere()
    assert ended.value.code == 1
    assert (threading.excepthook, sys.unraisablehook) == before
    assert [line["event"] for line in lines(stream)] == [
        "a thread has failed", "an exception that cannot be raised", "the process has failed",
    ]  # fmt: skip
    assert all("ValueError: api_key=***" in line["exception"] for line in lines(stream))
    assert "hunter2" not in stream.getvalue()


def test_what_somebody_else_tells_is_let_through() -> None:
    with pytest.raises(KeyError), masking_uncaught(KeyError):
        raise KeyError("k")


async def test_a_task_that_nobody_waited_for_is_masked() -> None:
    stream = io.StringIO()
    configure(stream=stream)
    asyncio.get_running_loop().call_exception_handler({"message": "lost", "exception": ValueError("token=hunter2")})
    assert "lost" in stream.getvalue()
    assert "hunter2" not in stream.getvalue()


class Unprintable:
    def __repr__(self) -> str:
        raise TypeError("hunter2")


def test_a_line_that_cannot_be_written_is_not_repeated(capsys: pytest.CaptureFixture[str]) -> None:
    stream = io.StringIO()
    configure(stream=stream)
    structlog.get_logger("x").info("asked with hunter2", by=Unprintable())
    assert stream.getvalue() == ""
    assert capsys.readouterr().err == "tickwire: a line of x cannot be logged: TypeError\n"
