"""Every limit of what is sent and of what waits is the configured one."""

from __future__ import annotations

import pytest

from _speedups.fanout import Stream
from gateway.core import fanout as module
from gateway.core.fanout import make_fanout
from gateway.limits import Limits
from tests.gateway.core.hub_parts import HandClock
from tests.speedups.fanout_parts import STATE, JsonForm, Peer

LIMITS = {
    "flush_max_us": 5,
    "slice_sends": 1,
    "urgent_slice_sends": 2,
    "queue_state_bytes": 20,
    "queue_append_bytes": 30,
    "queue_bytes_max": 40,
}


def test_it_is_given_the_limits_that_are_configured(monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, int] = {}
    monkeypatch.setattr(module, "Fanout", lambda call_soon, call_later, **limits: given.update(limits))
    make_fanout(HandClock(), Limits(**LIMITS))
    assert given == LIMITS


def test_it_sends_in_turns_of_its_loop() -> None:
    loop = HandClock()
    fanout = make_fanout(loop, Limits(slice_sends=1))
    stream, form, peers = Stream(fanout, None, "e1", delivery=STATE), JsonForm(), [Peer(fanout) for _ in range(2)]
    for peer in peers:
        stream.attach(peer.outbox, form)
    stream.publish(b"0", None, 0)
    written = []
    for _ in range(2):
        loop.turn()
        written.append(sum(bool(peer.written) for peer in peers))
    assert written == [1, 2]
