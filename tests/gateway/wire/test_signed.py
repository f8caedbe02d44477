"""The bytes of a payload are those that came, whatever stands around them, and those that are read."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.private import Signature
from gateway.limits import Limits
from gateway.wire import oms, stream
from gateway.wire.codec import RequestError
from gateway.wire.signed import payload_of, signature_of

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=50, deadline=None)
@given(VALUES, st.sampled_from([None, 1]), st.sampled_from(["", " ", "\n\t "]))
def test_the_payload_is_cut_out_as_it_came(value: object, indent: int | None, space: str) -> None:
    payload = json.dumps(value, indent=indent)
    message = f'{{"action":"command",{space}"payload"{space}:{space}{payload}{space},"ts":1}}'
    assert payload_of(message) == payload_of(message.encode()) == payload.encode()


@pytest.mark.parametrize("codec", [stream, oms], ids=["stream", "oms"])
def test_what_is_signed_is_what_is_read(codec: object) -> None:
    """Also of a message that says it twice, or spells it in another way."""
    assert codec in (stream, oms)
    parse = stream.parse if codec is stream else oms.parse
    start = '{"action":"command","sig":"s","ts":5,"nonce":"n",'
    for payload in ('"payload":{"a":1},"payload":{"a": 2}}', '"payload":{"a":1},"p\\u0061yload":{"a": 2}}'):
        request = parse(start + payload, Limits())
        assert isinstance(request, stream.SignedCommand | oms.SignedCommand)
        assert (request.payload, request.signed) == ({"a": 2}, b'{"a": 2}')
        assert signature_of(request, request.signed, "c1") == Signature("s", 5, "n", b'{"a": 2}', "c1")


@pytest.mark.parametrize("fields", ['"sig":"s"', '"ts":5', '"nonce":"n"', '"sig":"s","ts":5', '"ts":5,"nonce":"n"'])
def test_half_a_signature_is_none(fields: str) -> None:
    message = f'{{"action":"command","id":3,"payload":{{}},{fields}}}'
    for parse in (stream.parse, oms.parse):
        with pytest.raises(RequestError, match="belong together"):
            parse(message, Limits())


def test_what_a_client_says_was_signed_is_not_believed() -> None:
    message = '{"action":"command","payload":{"a":1},"signed":"e30=","sig":"s","ts":5,"nonce":"n"}'
    for parse in (stream.parse, oms.parse):
        request = parse(message, Limits())
        assert isinstance(request, stream.SignedCommand | oms.SignedCommand)
        assert request.signed == b'{"a":1}'


@pytest.mark.parametrize("field", ["sig", "nonce"])
def test_signatures_are_bounded(field: str) -> None:
    fields = {"action": "command", "payload": {}, "sig": "s", "ts": 5, "nonce": "n", field: "x" * 129}
    for parse in (stream.parse, oms.parse):
        with pytest.raises(RequestError, match=r"<= 128"):
            parse(msgspec.json.encode(fields), Limits())
