"""Bodies of publications: what is told of them, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from oms.errors import OmsError
from oms.publications import model

NOW = 1_790_000_000_123_456_000
SIGNAL = {"signal_type": "BUY", "symbol": "BTC/USDT"}
NEWS = {"headline": "Bitcoin surges"}


def made(channel: str, **body: Any) -> model.Publication:
    return model.made(model.parse(channel, json.dumps(body).encode()), "ann", NOW)


def test_a_signal_is_told_with_exactly_the_members_of_the_protocol() -> None:
    given = {**SIGNAL, "price": 61000.5, "quantity": 2, "confidence": 0.83, "source": "momentum-7"}
    row = made("signals", **given, timestamp="2026-11-21T22:00:00.5+01:00", request_id="r1")
    assert row.data == (
        b'{"signal_type":"BUY","symbol":"BTC/USDT","price":61000.5,"quantity":2,"confidence":0.83,'
        b'"source":"momentum-7","timestamp":"2026-11-21T21:00:00.500Z"}'
    )
    assert (row.symbols, row.source, row.request_id, row.created_ns) == (("BTC/USDT",), "momentum-7", "r1", NOW)


def test_what_is_not_given_is_null_or_ours() -> None:
    assert json.loads(made("signals", **SIGNAL).data) == {
        **SIGNAL, "price": None, "quantity": None, "confidence": None, "source": "ann",
        "timestamp": "2026-09-21T14:13:20.123Z",
    }  # fmt: skip


def test_news_are_told_with_exactly_the_members_of_the_protocol() -> None:
    row = made("news", **NEWS, symbols=["BTC/USDT", "ETH/USDT", "BTC/USDT"], url="https://example.org/1")
    assert row.data == (
        b'{"headline":"Bitcoin surges","source":"ann","symbols":["BTC/USDT","ETH/USDT"],"sentiment":1,'
        b'"timestamp":"2026-09-21T14:13:20.123Z","url":"https://example.org/1"}'
    )
    assert row.symbols == ("BTC/USDT", "ETH/USDT")


def test_a_sentiment_that_is_given_is_told_also_when_it_is_none() -> None:
    told = [json.loads(made("news", **NEWS, **given).data)["sentiment"] for given in ({"sentiment": -0.25},
            {"sentiment": None}, {})]  # fmt: skip
    assert told == [-0.25, None, 1]


def test_the_hash_is_of_what_was_asked_for_and_not_of_its_name() -> None:
    first, again, other = (
        made("signals", **SIGNAL, **more).body_hash
        for more in ({"request_id": "a"}, {"request_id": "b", "price": None}, {"price": 1})
    )
    assert first == again != other


@pytest.mark.parametrize(
    ("channel", "body", "said"),
    [
        ("signals", {"symbol": "A"}, "signal_type"),
        ("signals", {**SIGNAL, "signal_type": "buy now"}, "signal_type"),
        ("signals", {**SIGNAL, "symbol": "*"}, "stands for all"),
        ("signals", {**SIGNAL, "symbol": "A\x00"}, "symbol"),
        ("signals", {**SIGNAL, "symbol": "A" * 129}, "symbol"),
        ("signals", {**SIGNAL, "price": -1}, "price"),
        ("signals", {**SIGNAL, "price": "1"}, "price"),
        ("signals", {**SIGNAL, "confidence": 1.01}, "confidence"),
        ("signals", {**SIGNAL, "timestamp": "2026-11-21T22:00:00"}, "timestamp"),
        ("signals", {**SIGNAL, "timestamp": "1969-12-31T23:59:59Z"}, "timestamp"),
        ("signals", {**SIGNAL, "timestamp": "9999-12-31T23:59:59-23:00"}, "timestamp"),
        ("signals", {**SIGNAL, "more": 1}, "more"),
        ("signals", {**SIGNAL, "request_id": ""}, "request_id"),
        ("news", {"headline": ""}, "headline"),
        ("news", {"headline": "a\nb"}, "headline"),
        ("news", {"headline": "a" * 501}, "headline"),
        ("news", {**NEWS, "symbols": ["A"] * 33}, "symbols"),
        ("news", {**NEWS, "symbols": ["A", "*"]}, "stands for all"),
        ("news", {**NEWS, "sentiment": 2}, "sentiment"),
        ("news", {**NEWS, "url": "javascript:alert(1)"}, "url"),
    ],
)
def test_a_refusal_names_what_is_wrong(channel: str, body: dict[str, Any], said: str) -> None:
    with pytest.raises(OmsError, match=said.replace("*", r"\*")) as refused:
        made(channel, **body)
    assert refused.value.code == "validation_error"


@pytest.mark.parametrize("raw", [b"", b"{", b"\xff", b"[]", b'{"signal_type":"\\ud800"}', b"[" * 5_000])
def test_what_is_no_body_is_refused(raw: bytes) -> None:
    with pytest.raises(OmsError) as refused:
        model.parse("signals", raw)
    assert refused.value.code == "validation_error"


def test_nothing_is_published_on_other_channels() -> None:
    with pytest.raises(OmsError) as refused:
        model.parse("quotes", b"{}")
    assert (refused.value.code, refused.value.details) == ("unsupported_channel", {"channels": ["signals", "news"]})
