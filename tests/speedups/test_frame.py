"""Frames, updates, templates: bytes equal to what RFC 6455 and plain Python say."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from _speedups.frame import (
    DATA,
    EPOCH,
    KIND,
    OP_BINARY,
    OP_TEXT,
    SEQUENCE,
    T_EX,
    T_IN,
    T_OUT,
    TIME_MS,
    TIMESTAMP,
    Form,
    Template,
    Update,
    close_frame,
    encode,
)


def model_encode(opcode: int, payload: bytes, *, rsv1: bool) -> bytes:
    """RFC 6455 section 5.2, word by word."""
    first = 0x80 | (0x40 if rsv1 else 0) | opcode
    if len(payload) < 126:
        return bytes([first, len(payload)]) + payload
    if len(payload) < 65536:
        return bytes([first, 126]) + len(payload).to_bytes(2, "big") + payload
    return bytes([first, 127]) + len(payload).to_bytes(8, "big") + payload


@given(
    st.sampled_from([OP_TEXT, OP_BINARY]),
    st.sampled_from([0, 1, 125, 126, 127, 65535, 65536, 70000]) | st.integers(0, 300),
    st.booleans(),
)
def test_a_frame_has_the_shortest_length_field(opcode: int, size: int, rsv1: bool) -> None:
    payload = b"x" * size
    assert encode(opcode, payload, rsv1) == model_encode(opcode, payload, rsv1=rsv1)


@given(st.text(max_size=200))
def test_a_close_reason_is_cut_at_123_bytes_inside_no_character(reason: str) -> None:
    frame = close_frame(1001, reason)
    assert frame[:1] == b"\x88"
    assert frame[1] == len(frame) - 2 <= 125
    assert frame[2:4] == (1001).to_bytes(2, "big")
    assert reason.startswith(frame[4:].decode())
    if len(reason.encode()) <= 123:
        assert frame[4:].decode() == reason


def test_close_code_0_is_an_empty_close() -> None:
    assert close_frame(0) == b"\x88\x00"


PARTS: list[bytes | int] = [
    b'{"k":"',
    KIND,
    b'","e":"',
    EPOCH,
    b'","s":',
    SEQUENCE,
    b',"at":"',
    TIMESTAMP,
    b'","x":',
    T_EX,
]
PARTS += [b',"i":', T_IN, b',"o":', T_OUT, b',"ms":', TIME_MS, b',"d":', DATA, b"}"]


@given(
    sequence=st.integers(0, 2**63 - 1),
    t_ex=st.none() | st.integers(0, 253402300799999),
    t_in=st.integers(0, 2**63 - 6),
    snapshot=st.booleans(),
    data=st.recursive(st.none() | st.integers() | st.text(), st.lists, max_leaves=5),
    epoch=st.text("abcdef0123456789", min_size=1, max_size=40),
)
def test_a_template_renders_every_slot(
    sequence: int, t_ex: int | None, t_in: int, snapshot: bool, data: object, epoch: str
) -> None:
    update = Update(sequence, json.dumps(data).encode(), t_ex, t_in, t_in + 5, snapshot)
    at = datetime.fromtimestamp((t_ex if t_ex is not None else t_in // 1_000_000) // 1000, UTC)
    ms = (t_ex if t_ex is not None else t_in // 1_000_000) % 1000
    assert json.loads(Template(PARTS).render(update, epoch)) == {
        "k": "snapshot" if snapshot else "update",
        "e": epoch,
        "s": sequence,
        "at": f"{at:%Y-%m-%dT%H:%M:%S}.{ms:03d}Z",
        "x": t_ex,
        "i": t_in,
        "o": t_in + 5,
        "ms": t_ex if t_ex is not None else t_in // 1_000_000,
        "d": data,
    }


def test_a_template_refuses_an_unknown_slot() -> None:
    with pytest.raises(ValueError, match="no such slot: 99"):
        Template([b"{", 99])


def test_a_template_without_slots_is_its_text() -> None:
    assert Template([b"a", b"b"]).render(Update(1, b"", None, 0, 0, False), "e") == b"ab"


def test_a_slot_may_come_twice() -> None:
    template = Template([DATA, EPOCH, DATA, EPOCH, SEQUENCE])
    assert template.render(Update(7, b"x" * 500, None, 0, 0, False), "é") == (b"x" * 500 + "é".encode()) * 2 + b"7"


def test_none_is_refused() -> None:
    nothing: Any = None
    with pytest.raises(TypeError):
        Update(1, nothing, None, 0, 0, False)
    with pytest.raises(TypeError):
        Template([nothing])
    with pytest.raises(TypeError):
        Template([b"a"]).render(nothing, "e")
    with pytest.raises(TypeError):
        Template([b"a"]).render(Update(1, b"", None, 0, 0, False), nothing)
    with pytest.raises(TypeError):
        encode(OP_TEXT, nothing)


@pytest.mark.parametrize("t_ex", [-1, 253402300800000, 2**63 - 1])
def test_a_time_that_iso_8601_cannot_say_is_no_exchange_time(t_ex: int) -> None:
    update = Update(1, b"", t_ex, 1_500_000, 0, False)
    assert update.t_ex is None
    assert Template([TIMESTAMP, b" ", T_EX]).render(update, "e") == b"1970-01-01T00:00:00.001Z null"


@pytest.mark.parametrize(("sequence", "t_in", "t_out"), [(-1, 0, 0), (0, -1, 0), (0, 0, -1)])
def test_an_update_is_not_before_the_epoch(sequence: int, t_in: int, t_out: int) -> None:
    with pytest.raises(ValueError, match="not negative"):
        Update(sequence, b"", None, t_in, t_out, False)


def test_the_plain_form_is_a_text_frame_and_leaves_the_rest_to_a_codec() -> None:
    form = Form()
    assert form.finish(b"{}") == encode(OP_TEXT, b"{}")
    with pytest.raises(NotImplementedError):
        form.template(None)
    with pytest.raises(NotImplementedError):
        form.gap(None, "e", 1, 2, "slow_consumer", None)
