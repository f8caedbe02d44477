"""Numbered updates of the oms dialect: the printed event byte for byte, and what accounts share."""

from __future__ import annotations

import json
import zlib

import pytest

from _speedups.frame import OP_TEXT, Update
from gateway.core.key import UNIFIED_CHANNELS, Key, StreamId
from gateway.limits import Limits
from gateway.wire.oms_forms import MarketForm, OmsForms, private_event
from tests.frames import whole
from tests.gateway.net.accounts import Line

TICKER = StreamId(Key("sim", "ccxt_ticker", "BTC/USDT"), 1000, False)
DATA = b'{"symbol":"BTC/USDT","last":1.5}'


def rendered(form: MarketForm, topic: StreamId = TICKER, data: bytes = DATA, t_ex: int | None = 1770000000000) -> bytes:
    return form.template(topic).render(Update(7, data, t_ex, 1770000000123456789, 1770000000200000000, False), "k3f9")


def test_the_printed_event() -> None:
    assert rendered(MarketForm(1)).decode() == (
        '{"id":null,"ok":true,"type":"ws_event","namespace":"ccxt","action":"event","event":"ticker_updated",'
        '"payload":{"account_id":1,"symbol":"BTC/USDT","channel":"ticker","data":{"symbol":"BTC/USDT","last":1.5},'
        '"ts_ms":1770000000000},"seq":7,"epoch":"k3f9"}'
    )


@pytest.mark.parametrize("channel", UNIFIED_CHANNELS.values(), ids=lambda channel: channel.type)
def test_every_channel_has_its_event_and_exactly_these_keys(channel: object) -> None:
    name = channel.type  # type: ignore[attr-defined]  # parametrized
    topic = StreamId(Key("sim", channel.name, "BTC/USDT"), 0, False)  # type: ignore[attr-defined]  # as above
    message = json.loads(rendered(MarketForm(3), topic))
    assert message["event"] == f"{name}_updated"
    assert list(message["payload"]) == ["account_id", "symbol", "channel", "data", "ts_ms"]
    assert (message["payload"]["channel"], message["payload"]["account_id"]) == (name, 3)


def test_without_the_exchanges_time_it_is_ours() -> None:
    assert json.loads(rendered(MarketForm(1), t_ex=None))["payload"]["ts_ms"] == 1770000000123


def test_accounts_differ_by_a_prefix_only() -> None:
    one, other = (rendered(MarketForm(number)) for number in (1, 22))
    prefix, _, rest = one.partition(b'"account_id":1,')
    assert other == prefix + b'"account_id":22,' + rest


def test_everybody_with_an_account_has_the_same_form() -> None:
    forms = OmsForms(Limits(), zlib.compress)
    assert forms.of(1, deflate=False) is forms.of(1, deflate=False)
    assert len({id(forms.of(number, deflate=deflate)) for number in (1, 2) for deflate in (False, True)}) == 4


def test_a_gap_names_the_account_and_the_channel() -> None:
    gap = json.loads(MarketForm(1).gap(TICKER, "k3f9", 8, 8, "upstream", "a17c"))
    assert (gap["type"], gap["event"], gap["id"]) == ("ws_event", "gap", None)
    assert gap["payload"] == {
        "account_id": 1, "symbol": "BTC/USDT", "channel": "ticker", "epoch": "k3f9", "from": 8, "to": 8,
        "reason": "upstream", "new_epoch": "a17c",
    }  # fmt: skip
    assert "new_epoch" not in json.loads(MarketForm(1).gap(TICKER, "k3f9", 8, 9, "slow_consumer", None))["payload"]


def test_what_is_large_is_compressed_where_that_was_agreed() -> None:
    forms = OmsForms(Limits(deflate_bytes_min=1_000), lambda payload: b"squeezed")
    for deflate, size, squeezed in ((True, 2_000, True), (True, 10, False), (False, 2_000, False)):
        (frame,) = whole(forms.of(1, deflate=deflate).finish(b"x" * size))
        assert (frame.opcode, frame.is_compressed) == (OP_TEXT, squeezed)
        assert frame.payload == (b"squeezed" if squeezed else b"x" * size)


def test_an_event_of_an_account_is_its_resource_with_its_number_beside() -> None:
    line = Line(89, "order_created", b'{"id":10,"account_id":1}', 1)
    assert json.loads(private_event("orders", "k3f9", line, None)) == {
        "id": None, "ok": True, "type": "ws_event", "namespace": "position", "action": "event",
        "event": "order_created", "payload": {"id": 10, "account_id": 1},
        "channel": "orders", "seq": 89, "epoch": "k3f9",
    }  # fmt: skip
    assert json.loads(private_event("orders", "k3f9", line, 87))["prev_seq"] == 87
