"""Streams against a model of the server: every number comes once and in order, or is announced as lost."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from driver.stream import Gap, Key
from tests.driver.streaming import QUOTES, TRADES, Client, gap, subscribed, update


class Server:
    """One stream of a gateway, as docs/protocol.md has it: it may say anything, but must say what is lost."""

    def __init__(self, channel: str, ring: int) -> None:
        self.channel = channel
        self.ring = ring
        self.epochs = 1
        self.sequence = 0
        self.truth: list[tuple[str, int]] = []
        self.unsent: list[dict[str, Any]] = []

    @property
    def epoch(self) -> str:
        return f"e{self.epochs}"

    @property
    def kind(self) -> str:
        return "update" if self.channel == "trades" else "snapshot"

    def happen(self, count: int) -> list[dict[str, Any]]:
        """Updates, which the caller sends or not."""
        made = []
        for _ in range(count):
            self.sequence += 1
            self.truth.append((self.epoch, self.sequence))
            made.append(update(self.sequence, self.channel, self.epoch))
        return made

    def end_epoch(self) -> dict[str, Any]:
        old, at = self.epoch, self.sequence + 1
        self.epochs += 1
        self.sequence = 0
        return gap(at, at, self.channel, old, reason="upstream", new_epoch=self.epoch)

    def answer(self, request: dict[str, Any]) -> list[dict[str, Any]]:
        if request["action"] == "resend":
            if request["epoch"] != self.epoch:
                return [{"type": "error", "id": request["id"], "code": "validation_error", "message": "ended"}]
            held = range(max(request["from"], self.sequence - self.ring + 1), request["to"] + 1)
            resent = [update(number, self.channel, self.epoch) for number in held]
            return [{"type": "resent", "id": request["id"], "data": {"resent": len(resent)}}, *resent]
        resume = request.get("resume", {}).get("sim:BTC/USDT")
        now = {"epoch": self.epoch, "sequence": self.sequence}
        snapshot = [update(self.sequence, self.channel, self.epoch, "snapshot")] if self.channel == "quotes" else []
        if resume is None:
            return [subscribed(request, **now), *(snapshot if self.sequence else [])]
        at = resume["sequence"]
        if resume["epoch"] == self.epoch and at >= self.sequence - self.ring:
            missed = [update(number, self.channel, self.epoch) for number in range(at + 1, self.sequence + 1)]
            return [subscribed(request, epoch=self.epoch, sequence=at, recovered=True, replayed=len(missed)), *missed]
        said = [subscribed(request, **now, recovered=False)]
        if resume["epoch"] != self.epoch:
            said.append(gap(at + 1, at + 1, self.channel, resume["epoch"], reason="resync", new_epoch=self.epoch))
            at = 0
        if at < self.sequence:
            said.append(gap(at + 1, self.sequence, self.channel, self.epoch, reason="resync"))
        return said + (snapshot if self.sequence else [])


ACTIONS = st.lists(
    st.tuples(st.sampled_from(["send", "skip", "lose", "drop", "epoch", "away"]), st.integers(1, 6)), max_size=40
)


class World:
    """A client of that server, and what happens between them."""

    def __init__(self, key: Key, ring: int) -> None:
        self.client = Client()
        self.server = Server(key.channel, ring)
        self.listener = self.client.use(key)
        self.client.streams.opened()
        self.settle([])

    def settle(self, said: list[dict[str, Any]]) -> None:
        """The client is told this, asks, and is answered."""
        streams = self.client.streams
        for message in said:
            streams.receive(message)
        while requests := streams.requests():
            for message in [message for request in requests for message in self.server.answer(request)]:
                streams.receive(message)

    def do(self, action: str, count: int) -> None:
        getattr(self, action)(count)

    def send(self, count: int) -> None:
        self.settle(self.server.happen(count))

    def skip(self, count: int) -> None:
        """Too slow for these trades: said, and not sent."""
        if self.server.channel == "trades":
            first = self.server.sequence + 1
            self.server.happen(count)
            self.settle([gap(first, self.server.sequence, "trades", self.server.epoch)])

    def lose(self, count: int) -> None:
        """A fault: neither sent nor said, until the next update."""
        self.server.happen(count)
        self.settle(self.server.happen(1))

    def end_epoch(self, count: int) -> None:
        self.settle([self.server.end_epoch()])

    def drop(self, count: int) -> None:
        self.client.streams.closed()
        self.server.happen(count)
        self.client.streams.opened()
        self.settle([])

    def restart(self, count: int) -> None:
        self.client.streams.closed()
        self.server.happen(count)
        self.server.end_epoch()
        self.drop(count)


def is_announced(gaps: list[Gap], epoch: str, number: int) -> bool:
    """As lost, or as of an epoch of which nobody knows how far it went or that it was there at all."""
    ends = {each.epoch: each.first for each in gaps if each.new_epoch is not None}
    begun = {each.new_epoch for each in gaps} | {"e1"}
    if epoch not in begun or number >= ends.get(epoch, number + 1):
        return True
    return any(each.epoch == epoch and each.new_epoch is None and each.first <= number <= each.last for each in gaps)


ACTIONS = st.sampled_from(["send", "skip", "lose", "end_epoch", "drop", "restart"])


@given(
    st.lists(st.tuples(ACTIONS, st.integers(1, 6)), max_size=40), st.sampled_from([QUOTES, TRADES]), st.integers(0, 8)
)
def test_whatever_happens_each_number_is_told_once_or_announced_as_lost(
    actions: list[tuple[str, int]], key: Key, ring: int
) -> None:
    world = World(key, ring)
    for action, count in actions:
        world.do(action, count)
    listener, server = world.listener, world.server
    told = [(message["epoch"], message["sequence"]) for message in listener.told if message["kind"] == "update"]
    assert len(told) == len(set(told)), "twice"
    assert (listener.stream.epoch, listener.stream.sequence) == (server.epoch, server.sequence)
    for epoch, number in set(server.truth) - set(told):
        assert is_announced(listener.gaps, epoch, number), (epoch, number)
