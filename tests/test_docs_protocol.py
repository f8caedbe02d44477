"""The protocol reference against the codec: every message, table and code in it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from _speedups.bars import BarBuilder
from _speedups.book import Book
from _speedups.frame import Update
from _speedups.text import number
from gateway.auth import Gate
from gateway.config import AuthConfig
from gateway.core.key import (
    CONFIRMED_CHANNELS,
    OWN,
    PORTFOLIO,
    PRIVATE_CHANNELS,
    STREAM_CHANNELS,
    TIERS_MS,
    Key,
    StreamId,
)
from gateway.errors import CODES, Close, TickwireError
from gateway.limits import Limits
from gateway.net import http
from gateway.net.dashboard_http import status_resource
from gateway.net.http_portfolio import portfolio_resource
from gateway.sources.channels import Quotes, Trades
from gateway.stats import Stats
from gateway.wire import private, stream
from gateway.wire.forms import StreamForm
from gateway.wire.signed import payload_of
from oms import signing
from oms.desk.results import CommandResult
from oms.model import Permission, Principal
from oms.publications.model import News, Signal, made
from oms.signing import Signed
from tests.conftest import ROOT
from tests.docs_parts import fences, table, text_of
from tests.frames import whole
from tests.gateway.net.accounts import Line, Notice, Taken
from tests.gateway.net.fakes import Rig
from tests.gateway.net.treasury import FakeTreasury
from tests.gateway.users import Users

NAME = "docs/protocol.md"
Message = dict[str, Any]
SECRET = signing.secret_of("tw_0123456789ab_" + 32 * "0f")
CONNECTION_ID = "H_P43iEXPV1U"


def lines(info: str) -> list[str]:
    return [line for fence in fences(NAME, info) for line in fence.splitlines()]


@pytest.mark.parametrize("line", lines("json client"))
def test_a_request_is_read(line: str) -> None:
    request = stream.parse(line, Limits())
    fields = {field.encode_name for field in msgspec.structs.fields(request)} | {"action"}
    assert set(json.loads(line)) <= fields, "an unknown field would be ignored"


def test_every_request_is_shown() -> None:
    assert {json.loads(line)["action"] for line in lines("json client")} == set(stream.ACTIONS)


def subscribe_rendered(message: Message) -> bytes:
    data = message["data"]
    if message["channel"] in PRIVATE_CHANNELS:
        request = stream.Subscribe(id=message.get("id"), channel=message["channel"], account_ids=data["account_ids"])
        states = {int(account): stream.StreamState(**state) for account, state in data["streams"].items()}
        errors = {int(account): code for account, code in data["errors"].items()}
        return private.subscribed(request, data["subscription_id"], states, errors)
    request = stream.Subscribe(id=message.get("id"), channel=message["channel"], symbols=data["symbols"])
    streams = {symbol: stream.StreamState(**state) for symbol, state in data["streams"].items()}
    return stream.subscribed(
        request, data["subscription_id"], data["throttle_ms"], streams, data["errors"], data.get("retry_after_ms", {})
    )


def update_rendered(message: Message) -> bytes:
    data = message["data"]
    row = STREAM_CHANNELS.get(message["channel"]) or PRIVATE_CHANNELS[message["channel"]]
    is_batch = message["type"] == "batch"
    assert message["type"] in {row.type, "batch"}
    topic = StreamId(Key("sim", row.name, "BTC/USDT"), 0, is_batch)
    encoded = json.dumps(data).encode()
    is_snapshot = message["kind"] == "snapshot"
    update = Update(message["sequence"], encoded, message["t_ex"], message["t_in"], message["t_out"], is_snapshot)
    return StreamForm().template(topic).render(update, message["epoch"])


def plain(frame: bytes) -> bytes:
    (only,) = whole(frame)
    return only.payload


def private_rendered(message: Message) -> bytes:
    """Of an event or a snapshot: what the room of accounts says is in `data`, before `event`."""
    data = dict(message["data"])
    key = signing.events_key(SECRET, CONNECTION_ID)
    sign = (lambda text: signing.sign(key, text)) if "sig" in message else None
    framer = private.Framer(StreamForm(), message["channel"], data.get("account_id", 1), sign)
    epoch, number, t_in = message["epoch"], message["sequence"], message["t_in"]
    if message["kind"] == "snapshot":
        return plain(framer.snapshot(epoch, number, json.dumps(data["items"]).encode(), t_in))
    name = data.pop("event", "alert_triggered")
    event = Line(number, name, json.dumps(data, separators=(",", ":")).encode(), t_in)
    return plain(framer.update(epoch, event, None, message["t_out"]))


def gap_rendered(message: Message) -> bytes:
    if message["channel"] in PRIVATE_CHANNELS:
        framer = private.Framer(StreamForm(), message["channel"], message["account_id"])
        return plain(framer.gap(message["epoch"], message["from"], message["to"], message.get("new_epoch")))
    variant = str(message.get("timeframe") or message.get("depth") or "")
    topic = StreamId(Key(message.get("exchange", OWN), message["channel"], message["symbol"], variant), 0, False)
    place = (message["from"], message["to"], message["reason"], message.get("new_epoch"))
    return StreamForm().gap(topic, message["epoch"], *place)


def error_rendered(message: Message) -> bytes:
    retry_after_ms = message.get("retry_after_ms")
    failure = TickwireError(
        message["code"], message["message"], details=message.get("details"), retry_after_ms=retry_after_ms
    )
    return stream.error(failure, message.get("id"), message["request_id"])


def acked_rendered(message: Message) -> bytes:
    return private.acked(stream.Ack(id=message["id"], channel=message["channel"], **message["data"]))


def command_result_rendered(message: Message) -> bytes:
    told = [{name: value for name, value in each.items() if name != "index"} for each in message["data"]["results"]]
    command = stream.Command(id=message["id"], payload={})
    return private.command_result(command, [CommandResult(**each) for each in told])


def unsubscribe_rendered(message: Message) -> bytes:
    data = message["data"]
    request = stream.Unsubscribe(id=message.get("id"), channel=message["channel"])
    if message["channel"] not in PRIVATE_CHANNELS:
        return stream.unsubscribed(request, data["symbols"], data["errors"])
    errors = {int(account): code for account, code in data["errors"].items()}
    return private.unsubscribed(request, data["account_ids"], errors)


def reply_rendered(message: Message) -> bytes:
    """The other replies, from what the message itself says."""
    common: dict[str, Any] = {"id": message.get("id")}
    data = message.get("data", {})
    match message["type"]:
        case "resent":
            common |= {"symbol": data["symbol"], "from_": data["from"], "to": data["to"]}
            return stream.resent(stream.Resend(channel=message["channel"], **common), data["resent"])
        case "subscriptions":
            listed = [(private.Listed if "account_id" in each else stream.Listed)(**each)
                      for each in data["subscriptions"]]  # fmt: skip
            return stream.subscriptions(stream.List(**common), listed)
        case "published":
            asked = stream.Publish(channel=message["channel"], data=msgspec.Raw(), **common)
            return private.published(asked, Taken(Notice(data["id"], message["channel"], (), b"", 0), data["replayed"]))
        case "restored":
            request = stream.Restore(connection_id=data["connection_id"], **common)
            return stream.restored(request, data["requests"])
        case "pong":
            return stream.pong(stream.Ping(**common))
        case "server_shutdown":
            return stream.server_shutdown(message["deadline_ms"], message["reconnect_after_ms"])
    raise AssertionError(message)


def authenticated_rendered(message: Message) -> bytes:
    data = message["data"]
    principal = Principal(
        user_id=1, user_name=data["user"], api_key_id=1, is_admin=data["admin"],
        permissions={number: Permission(account_id=number) for number in data["account_ids"]},
    )  # fmt: skip
    return stream.authenticated(stream.Auth(id=message["id"], token=""), principal, data["reauthenticate_after_ms"])


def reauthenticate_rendered(message: Message) -> bytes:
    return stream.reauthenticate(message["deadline_ms"])


def rendered(message: Message) -> Message:
    """What the codec makes for the values of a message."""
    updates = dict.fromkeys([row.type for row in STREAM_CHANNELS.values()] + ["batch"], update_rendered)
    accounts = dict.fromkeys([PRIVATE_CHANNELS[name].type for name in CONFIRMED_CHANNELS], private_rendered)
    accounts[PORTFOLIO] = update_rendered
    renderers = {
        **updates, **accounts, "subscribed": subscribe_rendered, "unsubscribed": unsubscribe_rendered,
        "gap": gap_rendered, "error": error_rendered, "authenticated": authenticated_rendered,
        "reauthenticate": reauthenticate_rendered, "acked": acked_rendered, "command_result": command_result_rendered,
    }  # fmt: skip
    return dict(json.loads(renderers.get(message["type"], reply_rendered)(message)))


@pytest.mark.parametrize("line", [line for line in lines("json server") + lines("json server book")
                                  if json.loads(line)["type"] != "connected"])  # fmt: skip
def test_a_message_is_what_the_codec_makes(line: str) -> None:
    message = json.loads(line)
    made = rendered(message)
    assert made == message
    assert list(made) == list(message), "in the order they are sent"


def test_a_refusal_lists_the_actions_there_are() -> None:
    (shown,) = (each for each in map(json.loads, lines("json server")) if "actions" in each.get("details", {}))
    assert shown["details"]["actions"] == list(stream.ACTIONS)


def test_signatures_that_are_shown_are_right() -> None:
    """A client in any language can be held against them."""
    found = []
    for connection_id, texts in (
        (CONNECTION_ID, [line for line in lines("json client") if '"sig"' in line]),
        ("", [line for line in lines("json oms-client") if '"sig"' in line]),
    ):
        for text in texts:
            said = json.loads(text)
            found.append((connection_id, said["sig"], said["ts"], said["nonce"], payload_of(text)))
    for shown in fences(NAME, "http"):
        head, _, content = shown.rstrip("\n").partition("\n\n")
        request, *headers = head.splitlines()
        sig, ts, nonce = (line.partition(": ")[2] for line in headers)
        before = "" if "/oms/commands" in request else request.replace(" ", "\n")
        found.append(("", sig, int(ts), nonce, f"{before}\n{content}".encode()))
    assert len(found) == 4
    for connection_id, sig, ts_ms, nonce, payload in found:
        signing.check(SECRET, Signed(sig, ts_ms, nonce, payload, connection_id), ts_ms, 0)


def test_connected_is_what_the_codec_makes() -> None:
    (line,) = (line for line in lines("json server") if '"connected"' in line)
    shown, made = json.loads(line), json.loads(stream.connected("H_P43iEXPV1U", Limits()))
    assert shown.pop("limits").items() <= made.pop("limits").items()
    assert shown == made


class Kept:
    """A sink that keeps the data it was given."""

    def __init__(self) -> None:
        self.data: list[bytes] = []

    def publish(self, key: Key, data: bytes, *, t_ex: int | None, t_in: int, final: bool = False) -> None:
        self.data.append(data)

    def publish_book(self, *_: Any, **__: Any) -> None:
        raise AssertionError("no book here")

    def lost(self, *_: Any) -> None:
        raise AssertionError("nothing is lost here")

    def settle(self) -> None: ...


def made_data() -> Iterator[tuple[str, str, bytes]]:
    """(channel, kind, data) as the sources make them."""
    kept = Kept()
    Quotes(Key("sim", "quotes", "BTC/USDT"), kept, split=False).update("ticker", {"bid": 1.0}, 0)
    trade = dict.fromkeys(("price", "amount", "side", "timestamp", "datetime", "id"))
    Trades(Key("sim", "trades", "BTC/USDT"), kept).update("trades", [trade], 0)
    yield "quotes", "update", kept.data[0]
    yield "trades", "update", kept.data[1]
    bars = BarBuilder(1_000)
    bars.trade(1.0, 1.0, 0)
    assert bars.current is not None
    yield "bars", "update", bars.current.data("BTC/USDT", "sim", "1s")
    book = Book(10)
    changes = book.replace([[1.0, 1.0]], [[2.0, 1.0]])
    assert changes is not None
    yield "book", "snapshot", book.snapshot("BTC/USDT", "sim")
    yield "book", "update", changes.data("BTC/USDT", "sim", 1, book.checksum())
    yield "signals", "update", made(Signal(signal_type="BUY", symbol="BTC/USDT"), "ann", 0).data
    yield "news", "update", made(News(headline="x"), "ann", 0).data


def test_data_has_the_fields_that_are_shown() -> None:
    shown = [json.loads(line) for line in lines("json server") + lines("json server book")]
    for channel, kind, data in made_data():
        same = [each for each in shown if each.get("channel") == channel and "t_out" in each]
        if channel == "book":
            same = [each for each in same if each["kind"] == kind]
        assert same, f"no {kind} of {channel} is shown"
        for each in same:
            items = each["data"] if each["type"] == "batch" else [each["data"]]
            assert all(list(item) == list(json.loads(data)) for item in items), each


def test_the_reference_book_checks_the_books_that_are_shown() -> None:
    (source,) = fences(NAME, "python")
    names: dict[str, Any] = {}
    exec(source, names)
    book, position = names["Book"](), None
    for line in lines("json server book"):
        message = names["read"](line)
        if position is not None:
            assert message["data"]["prev_sequence"] == position
        book.apply(message["kind"], message["data"])
        assert book.checksum() == int(message["data"]["checksum"])
        position = message["sequence"]
    assert position == "3"

    ours = Book(20)
    bids = [[60000 - step * 0.5, 0.00001 * (step + 1)] for step in range(20)]
    asks = [[60000.5 + step * 100, 1000.0 + step] for step in range(20)]
    ours.replace(bids, asks)
    book.apply("snapshot", names["read"](ours.snapshot("BTC/USDT", "sim")))
    assert book.checksum() == ours.checksum()


def test_numbers_are_written_as_told() -> None:
    assert "(`61837`, `0.00001`)" in text_of(NAME)
    assert (number(61837.0), number(1e-5)) == ("61837", "0.00001")


def test_tables_of_the_wire() -> None:
    assert {row.name: row.value for row in table(NAME, "## 3. Channels")} == {
        row.name: row.type for row in STREAM_CHANNELS.values()
    }
    assert {row.name: row.value for row in table(NAME, "### Private channels")} == {
        row.name: row.type for row in PRIVATE_CHANNELS.values()
    }
    fields = {field.encode_name: field for field in msgspec.structs.fields(stream.Subscribe)}
    shown = {row.name: row.value for row in table(NAME, "### subscribe")}
    assert set(shown) == set(fields) - {"id"}
    for field, value in shown.items():
        if value != "required":
            of = fields[field]
            assert json.loads(value) == (of.default_factory() if of.default is msgspec.NODEFAULT else of.default), field
    assert ", ".join(map(str, TIERS_MS)) in text_of(NAME)
    limits = Limits().published()
    for row in table(NAME, "## 7. Limits"):
        assert json.loads(row.value) == limits[row.name], row


def test_every_error_and_close_that_is_sent_is_told() -> None:
    shown = {row.name: int(row.value) for row in table(NAME, "## 8. Errors")}
    assert shown.items() <= CODES.items()
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "gateway").rglob("*.py")]
    raised = re.compile(r'(?:TickwireError|RequestError|_failed|Refusal)\(\s*(?:\d+,\s*)?"(\w+)"')
    assert {code for source in sources for code in raised.findall(source)} <= set(shown)
    closes = {code for row in table(NAME, "## 9. Closes") for code in re.findall(r"\d+", row.name)}
    named = re.compile(r"close(?:_all)?\((?:[\w.]+, )?Close\.([A-Z]\w+)")
    sent = {name for source in sources for name in named.findall(source)}
    assert {"GOING_AWAY", "SLOW_CONSUMER", "SILENT", "RATE_LIMITED"} <= sent, "the pattern still finds them"
    assert {str(int(Close[name])) for name in sent} <= closes
    parser = text_of("_speedups/parser.pyx")
    assert set(re.findall(r"_fail\((\d+)", parser)) <= closes


async def test_http_resources_are_told() -> None:
    rig = Rig()
    stats = Stats(
        fanned=rig.fanout,
        published=rig.hub,
        connected=rig.sessions,
        sources=rig.sources,
        tally=rig.tally,
        started_s=0.0,
    )
    gate = Gate(Users().auth, AuthConfig(), anonymous=True)
    more = [status_resource(rig.dashboards), portfolio_resource(rig.connect_portfolios(FakeTreasury()))]
    routes = http.build(stats, dict, rig.limits, "0", gate, more=more).routes
    paths = {re.sub(r":\w+", "", route.path) for route in routes}
    shown = {path.removeprefix("GET ") for path, _ in table(NAME, "## 10. HTTP")}
    assert shown == {path for path in paths if not path.startswith(("/schema", "/openapi.json/"))}
