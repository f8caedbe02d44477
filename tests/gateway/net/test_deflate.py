"""permessage-deflate: what is agreed for which offer, and payloads against plain zlib."""

from __future__ import annotations

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.net.deflate import Corrupt, TooBig, compress, inflate, negotiate

ANSWER = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"


@given(st.binary(max_size=5000), st.integers(9, 15))
def test_round_trip(data: bytes, bits: int) -> None:
    payload = compress(data, bits)
    assert inflate(payload, 5000) == data
    stream = zlib.decompressobj(-bits)  # a peer with no larger window can read it
    assert stream.decompress(payload + b"\x00\x00\xff\xff") == data


@pytest.mark.parametrize(
    "payload",
    [
        "f248cdc9c90700",  # the examples of RFC 7692 section 7.2.3
        "000500faff48656c6c6f00",
        "f348cdc9c9070000",  # ended by BFINAL
        "f24805000000ffffcac9c90700",  # two blocks
    ],
)
def test_examples_of_the_rfc(payload: str) -> None:
    assert inflate(bytes.fromhex(payload), 5) == b"Hello"


def test_inflating_is_bounded() -> None:
    bomb = compress(bytes(20_000_000))
    assert len(bomb) < 100_000
    with pytest.raises(TooBig):
        inflate(bomb, 65_536)
    assert len(inflate(compress(bytes(65_536)), 65_536)) == 65_536


def test_streams_in_one_message_are_bounded() -> None:
    with pytest.raises(Corrupt, match="more than 8 streams"):
        inflate(b"\x03\x00" * 10_000, 65_536)


@pytest.mark.parametrize("payload", [b"\xff\xff\xff\xff", b"hello", b"\x06"])
def test_not_deflate(payload: bytes) -> None:
    with pytest.raises(Corrupt):
        inflate(payload, 1000)


@pytest.mark.parametrize(
    ("offer", "answer"),
    [
        ("permessage-deflate", (15, ANSWER)),
        ("permessage-deflate; client_max_window_bits", (15, ANSWER)),
        ("permessage-deflate; client_max_window_bits=10", (15, ANSWER)),
        ("permessage-deflate; server_no_context_takeover; client_no_context_takeover", (15, ANSWER)),
        ("permessage-deflate; server_max_window_bits=9", (9, f"{ANSWER}; server_max_window_bits=9")),
        ('permessage-deflate; server_max_window_bits="12"', (12, ANSWER + "; server_max_window_bits=12")),
        ("permessage-deflate; server_max_window_bits=15", (15, ANSWER + "; server_max_window_bits=15")),
        ("permessage-deflate; server_max_window_bits=8", None),  # zlib has no such window
        ("permessage-deflate; server_max_window_bits=8, permessage-deflate", (15, ANSWER)),
        ("permessage-deflate; server_max_window_bits=16", None),
        ("permessage-deflate; server_max_window_bits", None),
        ("permessage-deflate; server_max_window_bits=09", None),
        ("permessage-deflate; client_max_window_bits=7", None),
        ("permessage-deflate; server_no_context_takeover=1", None),
        ("permessage-deflate; unknown", None),
        ("permessage-deflate; client_max_window_bits; client_max_window_bits", None),
        ("x-webkit-deflate-frame", None),
        ("mux; permessage-deflate, permessage-deflate; client_max_window_bits", (15, ANSWER)),
        ("", None),
        (",;=,", None),
    ],
)  # fmt: skip
def test_negotiation(offer: str, answer: tuple[int, str] | None) -> None:
    assert negotiate(offer) == answer
