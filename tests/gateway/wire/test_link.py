"""What goes over a link comes out as it went in, in whatever pieces; what is none is an error and nothing else."""

from __future__ import annotations

import contextlib
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from _speedups.frame import Update
from gateway.core.key import Key, stream_id
from gateway.wire import link
from gateway.wire.link import LinkError, LinkForm, Reader

NUMBER = st.integers(0, 2**32 - 1)
TEXT = st.text(max_size=20)
ID = st.builds(stream_id, st.builds(Key, TEXT, TEXT, TEXT, TEXT), st.sampled_from([0, 50]), batch=st.booleans())
POSITION = st.tuples(TEXT, NUMBER)
STATE = st.builds(link.State, NUMBER, st.binary(), st.none() | NUMBER, NUMBER)
DOWN = st.one_of(
    st.builds(link.Welcome, NUMBER, NUMBER, st.binary()),
    st.builds(link.Stop),
    st.builds(link.Reload),
    st.builds(link.Finish, NUMBER, st.binary(), st.booleans()),
    st.builds(link.Shut, NUMBER, TEXT),
    st.builds(link.Reading, NUMBER, st.booleans()),
    st.builds(link.Upgraded, NUMBER),
    st.builds(link.Follow, NUMBER, ID, TEXT, NUMBER, st.none() | STATE),
    st.builds(link.Unfollow, NUMBER),
    st.builds(link.Attach, NUMBER, NUMBER, NUMBER, TEXT, NUMBER, st.none() | POSITION, st.booleans()),
    st.builds(link.Detach, NUMBER, NUMBER, NUMBER),
    st.builds(link.Gap, NUMBER, NUMBER, TEXT, st.none() | TEXT),
    st.builds(link.Mark, NUMBER),
)
COUNTS = st.dictionaries(TEXT, NUMBER, max_size=3)
UP = st.one_of(
    st.builds(link.Listening),
    st.builds(link.Opened, NUMBER, TEXT, st.booleans()),
    st.builds(link.Ended, NUMBER),
    st.builds(link.Lost, NUMBER),
    st.builds(link.Blocked, NUMBER, st.booleans()),
    st.builds(link.Overflowed, NUMBER),
    st.builds(link.Marked, NUMBER),
    st.builds(
        link.Report, COUNTS, st.lists(st.tuples(NUMBER, NUMBER), max_size=3), COUNTS, NUMBER, NUMBER, NUMBER,
        st.dictionaries(NUMBER, NUMBER, max_size=3),
    ),
)  # fmt: skip
BYTES = st.builds(link.Bytes, NUMBER, st.binary())


def framed(message: link.Bytes | link.Up | link.Down) -> bytes:
    return link.carried(*message) if isinstance(message, link.Bytes) else link.control(message)


@settings(max_examples=60)
@given(down=st.lists(DOWN | BYTES, max_size=5), up=st.lists(UP | BYTES, max_size=5), size=st.integers(1, 40))
def test_messages_come_out_as_they_went_in(
    down: list[link.Down | link.Bytes], up: list[link.Up | link.Bytes], size: int
) -> None:
    for messages, read in ((down, link.down), (up, link.up)):
        wire = b"".join(map(framed, messages))
        reader = Reader()
        pieces = (wire[at : at + size] for at in range(0, len(wire), size))
        assert [read(payload) for piece in pieces for payload in reader.feed(piece)] == messages


@settings(max_examples=60)
@given(payload=st.binary(min_size=1) | st.binary().map(lambda tail: b"U" + tail) | st.binary().map(lambda t: b"C" + t))
def test_what_is_no_message_is_an_error_of_the_link(payload: bytes) -> None:
    for read in (link.down, link.up):
        with contextlib.suppress(LinkError):
            read(payload)


@pytest.mark.parametrize("size", [0, link.MESSAGE_BYTES_MAX + 1, 2**32 - 1])
def test_a_size_that_cannot_be_is_an_error_before_anything_is_kept(size: int) -> None:
    with pytest.raises(LinkError, match="size"):
        Reader().feed(struct.pack(">I", size))


@given(
    sequence=NUMBER,
    data=st.binary(),
    t_ex=st.none() | st.integers(0, 10**12),
    t_in=NUMBER,
    whole=st.booleans(),
)
def test_an_update_is_rendered_once_and_read_as_it_was(
    sequence: int, data: bytes, t_ex: int | None, t_in: int, whole: bool
) -> None:
    form, wanted = LinkForm(), stream_id(Key("sim", "quotes", "BTC/USDT"))
    number = form.acquire(wanted)
    wire = form.finish(form.template(wanted).render(Update(sequence, data, t_ex, t_in, 1, whole), "e"))
    (payload,) = Reader().feed(wire)
    assert link.down(payload) == link.Update(number, sequence, whole, t_ex, t_in, data)


def test_a_stream_has_one_number_for_all_links_and_another_once_nobody_follows_it() -> None:
    form, wanted = LinkForm(), stream_id(Key("sim", "quotes", "BTC/USDT"))
    assert form.acquire(wanted) == form.acquire(wanted) == 1
    assert form.acquire(wanted._replace(tier_ms=50)) == 2
    form.release(wanted)
    assert form.acquire(wanted) == 1
    form.release(wanted)
    form.release(wanted)
    assert form.acquire(wanted) == 3
    (payload,) = Reader().feed(form.finish(form.gap(wanted, "e", 5, 7, "upstream", None)))
    assert link.down(payload) == link.Gap(3, 7, "upstream", None)
