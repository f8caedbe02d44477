"""docs/protocol.md, the account dialect: every message shown is what the codec reads or makes."""

from __future__ import annotations

import json
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest

from gateway.core.account_state import Change, Closed, Modified, Opened, Step, Updated
from gateway.errors import TickwireError
from gateway.limits import Limits
from gateway.net.guard import Entered
from gateway.wire import account
from tests.docs_parts import fences
from tests.gateway.accounts_made import Holding

NAME = "docs/protocol.md"
Message = dict[str, Any]


def lines(info: str) -> list[str]:
    return [line for fence in fences(NAME, info) for line in fence.splitlines()]


@pytest.mark.parametrize("line", lines("json account-client"))
def test_a_request_is_read(line: str) -> None:
    request = account.parse(line, Limits())
    assert set(json.loads(line)) - {"type"} <= set(request.__struct_fields__), "an unknown field would be ignored"


def test_every_request_is_shown() -> None:
    assert {json.loads(line)["type"] for line in lines("json account-client")} == set(account.TYPES)


def change_of(message: Message) -> Change:
    steps = {name: Step(step["old"], step["new"]) for name, step in message.get("changes", {}).items()}
    match message["type"]:
        case "account_update":
            return Updated(steps)
        case "position_modified":
            return Modified(message["ticket"], steps)
        case "position_closed":
            return Closed(message["ticket"], message["close_price"], message["profit"])
    position = message["position"]
    return Opened(Holding(position["ticket"], position["symbol"], position["type"], *prices(position)))


def prices(position: Message) -> tuple[Decimal, Decimal]:
    return position["volume"], position["price"]


def rendered(message: Message) -> bytes:
    """What the codec makes for the values of a message."""
    nobody: Any = None
    match message:
        case {"type": "connected", "account_id": account_id}:
            made = account.connected(account_id)
        case {"type": "pong"}:
            made = account.pong()
        case {"type": "authenticated", "reauthenticate_after_ms": after_ms}:
            made = account.authenticated(Entered(nobody, after_ms))
        case {"type": "reauthenticate", "deadline_ms": deadline_ms}:
            made = account.reauthenticate(deadline_ms)
        case {"type": "server_shutdown", "deadline_ms": deadline_ms, "reconnect_after_ms": after_ms}:
            made = account.server_shutdown(deadline_ms, after_ms)
        case {"type": "error", "error_code": "CONNECTION_LOST", "message": text, "retry_in_seconds": retry_s}:
            made = account.connection_lost(text, retry_s)
        case {"type": "error", "error_code": code, "message": text, "details": details, "request_id": request_id}:
            made = account.error(TickwireError(code.lower(), text, details=details), None, request_id)
        case _:
            marks = {name: value for name, value in message.items() if name in {"snapshot", "stale"}}
            at_ms = round(datetime.fromisoformat(message["timestamp"]).timestamp() * 1000)
            made = account.change(change_of(message), at_ms * 1_000_000, marks)
    return made


@pytest.mark.parametrize("line", lines("json account-server"))
def test_a_message_is_what_the_codec_makes(line: str) -> None:
    assert rendered(json.loads(line, parse_float=Decimal)).decode() == line, "to the byte"


def test_every_message_is_shown() -> None:
    assert {json.loads(line)["type"] for line in lines("json account-server")} == {
        "connected", "account_update", "position_opened", "position_modified", "position_closed", "error", "pong",
        "authenticated", "reauthenticate", "server_shutdown",
    }  # fmt: skip
