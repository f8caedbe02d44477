"""The outbox of a worker's socket: what is mirrored there is said to the worker, what is not goes as bytes."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from _speedups.fanout import Stream
from _speedups.frame import Form
from gateway.core.away import Asked, AwayOutbox
from gateway.core.key import Key, StreamId, stream_id
from gateway.limits import Limits
from tests.frames import whole
from tests.gateway.core.hub_parts import KEY, TRADES, Desk
from tests.speedups.fanout_parts import JsonForm, Message


class Far:
    """A worker's end and a transport: keeps what is said to it."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.said: list[tuple[Any, ...]] = []
        self.outbox = AwayOutbox(desk.fanout, self, self, self, resend_bytes_max=desk.limits.queue_append_bytes)

    def write(self, data: bytes) -> None:
        if data:
            self.said.append(("write", data))

    def on_overflow(self) -> None:
        self.said.append(("overflow",))

    def follows(self, form: Form) -> bool:
        return form is self.desk.form

    def follow(self, wanted: StreamId, _stream: Stream) -> None:
        self.said.append(("follow", wanted))

    def attach(self, wanted: StreamId, _form: Form, asked: Asked) -> None:
        self.said.append(("attach", wanted, asked))

    def detach(self, wanted: StreamId, _form: Form) -> None:
        self.said.append(("detach", wanted))

    def left(self, wanted: StreamId) -> None:
        self.said.append(("left", wanted))

    def finish(self, frame: bytes, *, drop: bool) -> None:
        self.said.append(("finish", frame, drop))


def test_a_stream_of_a_known_form_is_the_worker_s_to_send() -> None:
    desk = Desk()
    far = Far(desk)
    at = desk.hub.subscribe(far.outbox, TRADES, form=desk.form, snapshot=False)
    desk.publish(1, TRADES)
    desk.clock.settle()
    assert far.said == [("follow", stream_id(TRADES))]
    far.outbox.reply(b"ack")
    assert far.said[-1][-1] == Asked((at.epoch, 1), (at.epoch, 0), False)
    assert [said[0] for said in far.said] == ["follow", "write", "attach"]
    with pytest.raises(ValueError, match="already subscribed"):
        desk.hub.subscribe(far.outbox, TRADES, form=desk.form)
    assert desk.hub.unsubscribe(far.outbox, stream_id(TRADES), desk.form)
    assert not desk.hub.unsubscribe(far.outbox, stream_id(TRADES))
    assert far.said[3:] == [("detach", stream_id(TRADES))]


def test_what_an_answer_announces_waits_with_the_answer() -> None:
    desk = Desk()
    far = Far(desk)
    far.outbox.pause()
    far.outbox.reply(b"before")
    for key in (KEY, TRADES):
        desk.hub.subscribe(far.outbox, key, form=desk.form)
    far.outbox.reply(b"ack")
    desk.hub.unsubscribe(far.outbox, stream_id(KEY))
    assert far.said == [("follow", stream_id(KEY)), ("follow", stream_id(TRADES)), ("left", stream_id(KEY))]
    far.outbox.resume()
    assert [said[:2] for said in far.said[3:]] == [("write", b"beforeack"), ("attach", stream_id(TRADES))]


def late(far: Far) -> Asked:
    """What is asked of the worker behind an answer that has waited."""
    far.outbox.resume()
    *said, (kind, _, asked) = far.said
    assert (kind, [each[0] for each in said]) == ("attach", ["follow", "write"])
    assert isinstance(asked, Asked)
    return asked


@pytest.mark.parametrize(("key", "is_sent"), [(KEY, False), (TRADES, True)])
def test_what_comes_while_the_answer_waits_is_announced_or_sent(key: Key, is_sent: bool) -> None:
    desk = Desk()
    far = Far(desk)
    far.outbox.pause()
    at = desk.hub.subscribe(far.outbox, key, form=desk.form)
    far.outbox.reply(b"\x81\x02{}")
    for number in range(5):
        desk.publish(number, key)
    assert late(far) == Asked((at.epoch, 5), (at.epoch, 0), True, replay=is_sent)


def test_an_epoch_that_ends_while_the_answer_waits_is_announced() -> None:
    desk = Desk()
    far = Far(desk)
    far.outbox.pause()
    at = desk.hub.subscribe(far.outbox, KEY, form=desk.form)
    far.outbox.reply(b"\x81\x02{}")
    desk.hub.lost(KEY, "upstream")
    desk.publish(1)
    desk.publish(2)
    position = desk.hub.position(stream_id(KEY))
    assert position is not None
    assert late(far) == Asked(position, (at.epoch, 0), True, replay=False)


def resent(far: Far) -> list[Message]:
    """The messages that it was sent as bytes since the last call."""
    said, far.said = far.said, []
    return [msgspec.json.decode(frame.payload) for kind, *data in said if kind == "write" for frame in whole(data[0])]


def test_what_is_sent_again_goes_behind_the_reply_as_far_as_the_ring_goes() -> None:
    desk = Desk(Limits(ring_depth_updates=4, resend_updates_max=4))
    far = Far(desk)
    desk.hub.subscribe(far.outbox, TRADES, form=desk.form)
    for number in range(1, 7):
        desk.publish(number, TRADES)
    desk.clock.settle()
    assert [desk.hub.resend(far.outbox, stream_id(TRADES), *asked) for asked in ((7, 9), (2, 1), (1, 2))] == [0, 0, 0]
    assert desk.hub.resend(far.outbox, stream_id(TRADES), 0, 5) == 3
    desk.clock.settle()
    assert resent(far) == []
    far.outbox.reply(b"\x81\x02{}")
    far.outbox.reply(b"\x81\x02{}")
    assert [each.get("s") for each in resent(far)] == [None, 3, 4, 5, None]
    assert desk.hub.resend(far.outbox, stream_id(TRADES), 0, 9) == 4
    far.outbox.discard()
    far.outbox.reply(b"\x81\x02{}")
    assert resent(far) == []


def test_no_more_is_sent_again_than_may_wait_and_all_of_it_comes() -> None:
    desk = Desk(Limits(queue_append_bytes=1_000, queue_state_bytes=1_000))
    far = Far(desk)
    desk.hub.subscribe(far.outbox, TRADES, form=desk.form)
    for number in range(50):
        desk.publish([number] * 50, TRADES)
    desk.clock.settle()
    far.outbox.pause()
    count = 0
    for _ in range(9):
        count += desk.hub.resend(far.outbox, stream_id(TRADES), count + 1, 50)
        far.outbox.reply(b"\x81\x02{}")
    assert 3 < count < 10
    assert far.outbox.queued_bytes <= 1_000 + 9 * 4
    far.outbox.resume()
    assert [each["s"] for each in resent(far) if "s" in each] == list(range(1, count + 1))


def test_one_of_another_form_is_framed_here() -> None:
    desk = Desk()
    far, form = Far(desk), JsonForm()
    desk.hub.subscribe(far.outbox, TRADES, form=form)
    desk.publish(1, TRADES)
    desk.clock.settle()
    assert [said[0] for said in far.said] == ["write"]
    assert desk.hub.resend(far.outbox, stream_id(TRADES), 1, 1) == 1
    assert desk.hub.unsubscribe(far.outbox, stream_id(TRADES), form)


@pytest.mark.parametrize(
    ("resume", "recovered"),
    [(None, None), (("?", 1), False), (("now", 3), True), (("now", 0), False), (("now", 9), False)],
)
def test_a_resume_is_told_what_the_ring_has(resume: tuple[str, int] | None, recovered: bool | None) -> None:
    desk = Desk(Limits(ring_depth_updates=4, resend_updates_max=4))
    far, peer = Far(desk), desk.peer()
    epoch = desk.hub.subscribe(peer.outbox, TRADES, form=desk.form).epoch
    for number in range(5):
        desk.publish(number, TRADES)
    if resume is not None and resume[0] == "now":
        resume = (epoch, resume[1])
    here = desk.hub.subscribe(desk.peer().outbox, TRADES, form=desk.form, resume=resume)
    assert desk.hub.subscribe(far.outbox, TRADES, form=desk.form, resume=resume) == here
    assert here.recovered is recovered


def test_the_last_frame_goes_behind_what_waits_here_and_the_streams_are_left() -> None:
    desk = Desk()
    far = Far(desk)
    desk.hub.subscribe(far.outbox, KEY, form=desk.form)
    far.outbox.pause()
    far.outbox.reply(b"waits")
    far.outbox.finish(b"close")
    far.outbox.finish(b"again")
    far.outbox.reply(b"late")
    assert far.said[1:] == [("left", stream_id(KEY))]
    far.outbox.resume()
    assert far.said[2:] == [("write", b"waits"), ("finish", b"close", False)]
    far.outbox.resume()
    assert len(far.said) == 4
    with pytest.raises(ValueError, match="takes nothing more"):
        desk.hub.subscribe(far.outbox, KEY, form=desk.form)


def test_what_waits_here_is_dropped_when_told_so_and_nothing_is_said_of_who_is_gone() -> None:
    desk = Desk()
    far = Far(desk)
    desk.hub.subscribe(far.outbox, KEY, form=desk.form)
    far.outbox.pause()
    far.outbox.reply(b"waits")
    far.outbox.finish(b"close", drop=True)
    far.outbox.resume()
    assert far.said[1:] == [("left", stream_id(KEY)), ("finish", b"close", True)]
    gone = Far(desk)
    desk.hub.subscribe(gone.outbox, KEY, form=desk.form)
    gone.outbox.discard()
    gone.outbox.finish(b"close")
    assert gone.said[1:] == [("left", stream_id(KEY))]
