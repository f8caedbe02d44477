"""docs/protocol.md, the dashboard dialect: every message shown is what the codec reads or makes, byte for byte."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any, get_args

import msgspec
import pytest

from _speedups.frame import Update
from gateway.errors import TickwireError
from gateway.limits import Limits
from gateway.net.deflate import compress
from gateway.net.guard import Entered
from gateway.wire import dashboard
from gateway.wire.dashboard_forms import DashboardForms
from gateway.wire.dashboard_portfolio import portfolio
from oms.model import Permission, Principal
from tests.docs_parts import fences, text_of
from tests.gateway.wire.test_dashboard_portfolio import held, valuation

NAME = "docs/protocol.md"
NOW_NS = 1_770_474_600_123_000_000
CODEC = dashboard.DashboardCodec(lambda: NOW_NS)
FORMS = DashboardForms(Limits(), compress).of(deflate=False)
TICKER = {"price": "last", "change": "change", "change_pct": "percentage", "volume": "baseVolume", "high": "high",
          "low": "low", "open": "open", "close": "close"}  # fmt: skip
Message = dict[str, Any]


def lines(info: str) -> list[str]:
    return [line for fence in fences(NAME, info) for line in fence.splitlines()]


@pytest.mark.parametrize("line", lines("json dashboard-client"))
def test_a_request_is_read(line: str) -> None:
    request = CODEC.parse(line, Limits())
    fields = {field.encode_name for field in msgspec.structs.fields(request)} | {"type"}
    assert set(json.loads(line)) <= fields, "an unknown field would be ignored"


def test_every_request_is_shown() -> None:
    tags = {kind.__struct_config__.tag for kind in get_args(dashboard.Request)}
    assert {json.loads(line)["type"] for line in lines("json dashboard-client")} == tags


def rendered(message: Message) -> bytes:
    """What the codec makes for the values of a message."""
    match message["type"]:
        case "pong":
            return dashboard.pong()
        case "price_update":
            said = {
                symbol: dashboard.price(json.dumps({TICKER[name]: value for name, value in price.items()}).encode())
                for symbol, price in message["symbols"].items()
            }
            update = Update(1, dashboard.prices(said), None, NOW_NS, 0, False)
            return FORMS.prices.template(None).render(update, "e1")
        case "portfolio_update":
            return portfolio_rendered(message["data"])
        case "trade_executed":
            deal = {"symbol": message["symbol"], "side": message["side"].lower(), "qty": str(message["quantity"]),
                    "price": str(message["price"]), "executed_at": message["timestamp"]}  # fmt: skip
            return dashboard.trade_executed(json.dumps(deal).encode())[1]
        case "error":
            code, colon, text = message["error"].partition(": ")
            failure = TickwireError(code, text) if colon else TickwireError("validation_error", code)
            return CODEC.error(failure, None, "c-1")
    return said_by_itself(message)


def portfolio_rendered(data: Message) -> bytes:
    positions = tuple(
        held(symbol, **{name: Decimal(str(value)) for name, value in each.items() if name != "symbol"})
        for symbol, each in data["positions"].items()
    )
    told = portfolio([valuation(*positions, pnl=str(data["total_pnl"]))])
    return FORMS.portfolio.template(None).render(Update(1, told, None, NOW_NS, 0, False), "e1")


def said_by_itself(message: Message) -> bytes:
    if message["type"] == "authenticated":
        permissions = {each: Permission(account_id=each) for each in message["account_ids"]}
        principal = Principal(user_id=1, user_name=message["user"], api_key_id=1, permissions=permissions)
        return dashboard.authenticated(Entered(principal, message["reauthenticate_after_ms"]))
    if message["type"] == "signal":
        return dashboard.signal(json.dumps(message | {"source": "s"}).encode())[1]
    if message["type"] == "reauthenticate":
        return CODEC.reauthenticate(message["deadline_ms"])
    return CODEC.server_shutdown(message["deadline_ms"], message["reconnect_after_ms"])


@pytest.mark.parametrize("line", lines("json dashboard-server"))
def test_a_message_is_what_the_codec_makes(line: str) -> None:
    assert rendered(json.loads(line)).decode() == line


def test_every_channel_is_told() -> None:
    section = text_of(NAME).partition("## 13. The dashboard dialect")[2]
    assert all(f"| `{channel}` |" in section for channel in dashboard.CHANNELS)
