"""What many dashboards are told: one message for all symbols, compressed where that is worth it."""

from __future__ import annotations

import json

from _speedups.frame import OP_PONG, OP_TEXT, Update
from gateway.limits import Limits
from gateway.net.deflate import compress, inflate
from gateway.wire.dashboard_forms import NOTHING, DashboardForms
from tests.frames import whole

FORMS = DashboardForms(Limits(deflate_bytes_min=64), compress)
NOW_NS = 1_770_474_600_123_000_000


def test_a_price_update_is_as_the_protocol_has_it() -> None:
    form = FORMS.of(deflate=False).prices
    update = Update(1, b'{"AAPL":{"price":1}}', None, NOW_NS, 0, False)
    payload = form.template("anything").render(update, "e1")
    assert payload == b'{"type":"price_update","symbols":{"AAPL":{"price":1}},"timestamp":"2026-02-07T14:30:00.123Z"}'


def test_large_messages_are_compressed_for_who_reads_that() -> None:
    large = b'{"a":"%b"}' % (b"b" * 100)
    (plain,) = whole(FORMS.of(deflate=False).prices.finish(large))
    assert (plain.opcode, plain.is_compressed, plain.payload) == (OP_TEXT, False, large)
    (packed,) = whole(FORMS.of(deflate=True).prices.finish(large))
    assert (packed.opcode, packed.is_compressed, inflate(packed.payload, 1_000)) == (OP_TEXT, True, large)
    (small,) = whole(FORMS.of(deflate=True).prices.finish(b"{}"))
    assert not small.is_compressed


def test_a_signal_may_be_left_out_for_some() -> None:
    data = {"signal_type": "BUY", "symbol": "A", "price": 1, "quantity": None, "confidence": None, "timestamp": "t"}
    form = FORMS.of(deflate=False).signals
    for symbol, without, opcode in (("A", frozenset("A"), OP_PONG), ("A", frozenset("B"), OP_TEXT)):
        (frame,) = whole(form.but(without).finish(json.dumps(data | {"symbol": symbol}).encode()))
        assert frame.opcode == opcode
    assert form.finish(form.gap("anything", "e1", 1, 2, "slow_consumer", None)) == NOTHING


def test_a_gap_is_a_frame_that_says_nothing() -> None:
    form = FORMS.of(deflate=True).prices
    (frame,) = whole(form.finish(form.gap("anything", "e1", 1, 2, "slow_consumer", None)))
    assert (frame.opcode, frame.payload) == (OP_PONG, b"")
