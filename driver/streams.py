"""What is subscribed on `/v1/stream`, and where each stream stands: sequence, epoch, gaps, resume (docs/protocol.md).

Messages go in, updates go to sinks, and `requests` says what is to be sent. A stream stays subscribed as long as it has
users, and is asked for again, with its position, on every new connection. Holds no socket, no clock, and no meaning of
what an update says; `later` is how it waits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from driver.stream import PRIVATE, Gap, Key, Message, Sink, Stream

POSITIONS: Final = "positions"  # the one private channel that is asked for its state
TRADES: Final = "trades"  # the one public channel whose missed updates are worth asking for once more
NAMES_MAX: Final = 250  # in one request: with its positions it stays below the server's `message_bytes_max`
ACK_MS: Final = 100  # a confirmation waits so long for the next one
RETRY_MS: Final = 500  # where the server does not say when to ask again
TRANSIENT: Final = frozenset({"exchange_unavailable", "engine_unavailable", "rate_limited", "internal_error"})


class Streams:
    """All streams of one connection."""

    def __init__(self, later: Callable[[int, Callable[[], None]], object], changed: Callable[[], None]) -> None:
        """`later` calls something in that many ms; `changed` says that `requests` has something to send."""
        self.by_key: dict[Key, Stream] = {}
        self.redeliver = False  # tell the program what its key had not confirmed before the program came
        self._later = later
        self._changed = changed
        self._by_epoch: dict[str, dict[str, Stream]] = {}  # by channel, then epoch
        self._wanted: dict[Stream, None] = {}  # to be asked for
        self._unwanted: list[Key] = []
        self._others: list[Message] = []  # other requests
        self._asked: dict[str, list[Stream]] = {}  # by request id
        self._resends: dict[str, Stream] = {}
        self._acks: dict[Stream, None] = {}
        self._kept: dict[Key, tuple[str, int]] = {}  # positions of streams that were left, and may be come back to
        self._count = 0
        self._is_open = False

    # What a program wants

    def use(self, key: Key, make_sink: Callable[[], Sink], depth: int = 0) -> Stream:
        """One more user."""
        stream = self.by_key.get(key)
        if stream is None:
            stream = self.by_key[key] = Stream(key, make_sink())
            stream.depth = depth
            stream.epoch, stream.sequence = self._kept.pop(key, ("", 0))
            stream.is_whole = bool(stream.epoch)
            stream.sink.begun(stream)
            if key in self._unwanted:
                self._unwanted.remove(key)
            self._ask(stream)
        else:
            self.deepen(stream, depth)
        stream.users += 1
        return stream

    def deepen(self, stream: Stream, depth: int) -> None:
        """A book is wanted with so many levels a side."""
        if depth > stream.depth:
            stream.depth = depth
            self.again(stream)

    def need(self, stream: Stream) -> None:
        """Somebody waits for it: if the server had refused it, perhaps it does not any more."""
        if self._is_open and not (stream.is_live or stream.is_waiting or stream.asked or stream in self._wanted):
            self._ask(stream)

    def leave(self, key: Key, *, is_kept: bool = False) -> bool:
        """One user less; True: it was the last one. If its position `is_kept`, the next one goes on from there."""
        stream = self.by_key[key]
        stream.users -= 1
        if stream.users:
            return False
        del self.by_key[key]
        if is_kept and _may_resume(stream):
            self._kept[key] = (stream.epoch, stream.sequence)
        self._wanted.pop(stream, None)
        self._forget_epoch(stream)
        if stream.is_live or stream.asked is not None:
            self._unwanted.append(key)
            self._changed()
        return True

    def again(self, stream: Stream) -> None:
        """What is known of it contradicts itself: have the whole anew."""
        self._forget_epoch(stream)
        stream.epoch, stream.sequence = "", 0
        self._set_live(stream, False)
        self._ask(stream)

    def confirm(self, stream: Stream) -> None:
        """What came up to here is in good hands."""
        if not self._acks:
            self._later(ACK_MS, self.confirm_all)
        self._acks[stream] = None

    def confirm_all(self) -> None:
        """Say so now."""
        for stream in self._acks:
            if stream.is_live or stream.users == 0:
                self._others.append(_ack(stream))
        if self._acks:
            self._acks.clear()
            self._changed()

    def _ask(self, stream: Stream) -> None:
        if self.by_key.get(stream.key) is stream:
            self._wanted[stream] = None
            self._changed()

    # The connection

    def opened(self) -> None:
        """A new connection: everything is asked for, from where it stopped."""
        self._is_open = True
        self._wanted = dict.fromkeys(self.by_key.values())
        if self._wanted:
            self._changed()

    def closed(self) -> None:
        """Nothing of it counts any more but the positions."""
        self._is_open = False
        self._asked.clear()
        self._resends.clear()
        self._unwanted.clear()
        self._others.clear()
        self._acks.clear()  # what is not confirmed comes again, or is confirmed with what follows
        for stream in self.by_key.values():
            stream.asked = None
            stream.resends = stream.expected = 0
            self._settle(stream)
            self._set_live(stream, False)

    def requests(self) -> list[Message]:
        """What is to be sent now, in this order."""
        if not self._is_open:
            return []
        made = [self._unsubscribe(key) for key in self._unwanted]
        self._unwanted.clear()
        wanted, self._wanted = self._wanted, {}
        groups: dict[tuple[str, str, int], list[Stream]] = {}
        for stream in wanted:
            groups.setdefault((stream.key.channel, stream.key.timeframe, stream.depth), []).append(stream)
        for group in groups.values():
            made += [self._subscribe(group[at : at + NAMES_MAX]) for at in range(0, len(group), NAMES_MAX)]
        others, self._others = self._others, []
        return made + others

    def _unsubscribe(self, key: Key) -> Message:
        message: Message = {"action": "unsubscribe", "channel": key.channel, **_names(key.channel, [key.name])}
        if key.timeframe:
            message["timeframe"] = key.timeframe
        return message

    def _subscribe(self, streams: list[Stream]) -> Message:
        self._count += 1
        name = f"s{self._count}"
        self._asked[name] = streams
        channel, _, timeframe = streams[0].key
        message: Message = {
            "action": "subscribe", "id": name, "channel": channel,
            **_names(channel, [stream.key.name for stream in streams]),
        }  # fmt: skip
        if channel in PRIVATE:
            message["snapshot"] = channel == POSITIONS
        if timeframe:
            message["timeframe"] = timeframe
        if streams[0].depth:
            message["depth"] = streams[0].depth
        resume = {
            stream.key.name: {"epoch": stream.epoch, "sequence": stream.sequence}
            for stream in streams
            if _may_resume(stream)
        }
        if resume:
            message["resume"] = resume
        for stream in streams:
            stream.asked = name
        return message

    # What the server says

    def receive(self, message: Message) -> bool:
        """An update, a gap, or a reply of ours; False: it is about something else."""
        epoch = message.get("epoch")
        if epoch is not None:
            streams = self._by_epoch.get(message["channel"])
            stream = None if streams is None else streams.get(epoch)
            if stream is None:
                return True  # of a stream that was left meanwhile
            if message["type"] == "gap":
                self._gap(stream, message)
            else:
                self._update(stream, message)
            return True
        kind = message["type"]
        if kind == "subscribed":
            self._subscribed(message)
        elif kind == "resent":
            self._resent(message["id"], message["data"]["resent"])
        elif kind == "error":
            return self._error(message)
        else:
            return kind in {"unsubscribed", "acked"}
        return True

    def _update(self, stream: Stream, message: Message) -> None:
        number = message["sequence"]
        if number == stream.sequence + 1 or message["kind"] == "snapshot":
            stream.sequence = number
            stream.is_whole = stream.is_whole or message["kind"] == "snapshot"
            stream.sink.update(message)
        elif number <= stream.sequence:
            if number in stream.missing:
                stream.missing.discard(number)
                stream.expected -= 1
                stream.sink.update(message)
                self._settle(stream)
        elif message["data"].get("prev_sequence") == stream.sequence:  # numbers between are not for this key
            stream.sequence = number
            stream.sink.update(message)
        else:  # nobody said so: have what is missing again
            self._forget_epoch(stream)
            self._set_live(stream, False)
            self._ask(stream)

    def _gap(self, stream: Stream, message: Message) -> None:
        first, last, new_epoch = message["from"], message["to"], message.get("new_epoch")
        gap = Gap(stream.key.channel, stream.key.name, message["reason"], message["epoch"], first, last, new_epoch)
        if new_epoch is not None:
            stream.missing.clear()  # they are before the gap, of which nobody knows the end
            stream.resends = stream.expected = 0
            self._remember_epoch(stream, new_epoch)
            stream.sequence = 0
            stream.sink.gap(gap)
            return
        stream.sequence = last
        if stream.key.channel == TRADES:
            self._resend(stream, gap)
        else:
            stream.sink.gap(gap)

    def _resend(self, stream: Stream, gap: Gap) -> None:
        """The server may still have what this connection was too slow for."""
        self._count += 1
        name = f"r{self._count}"
        stream.missing.update(range(gap.first, gap.last + 1))
        stream.resends += 1
        stream.reason = gap.reason
        self._resends[name] = stream
        self._others.append({
            "action": "resend", "id": name, "channel": gap.channel, "symbol": gap.name,
            "epoch": gap.epoch, "from": gap.first, "to": gap.last,
        })  # fmt: skip
        self._changed()

    def _resent(self, name: str, count: int) -> None:
        """So many of what was asked for come now."""
        stream = self._resends.pop(name)
        if stream.resends:  # else its epoch has ended meanwhile
            stream.resends -= 1
            stream.expected += count
            self._settle(stream)

    def _settle(self, stream: Stream) -> None:
        """When nothing that was asked for is to come any more, what is missing then is lost."""
        if stream.missing and stream.resends == 0 and stream.expected <= 0:
            first, last = min(stream.missing), max(stream.missing)
            stream.missing.clear()
            stream.expected = 0
            channel, name, _ = stream.key
            stream.sink.gap(Gap(channel, name, stream.reason, stream.epoch, first, last, None))

    def _subscribed(self, message: Message) -> None:
        data = message["data"]
        retries = data.get("retry_after_ms", {})
        for stream in self._asked.pop(message["id"], ()):
            if stream.asked != message["id"] or self.by_key.get(stream.key) is not stream:
                continue  # it was left, or asked for anew
            stream.asked = None
            name = stream.key.name
            state = data["streams"].get(name)
            if state is None:
                code = data["errors"].get(name, "internal_error")
                self._refused(stream, code, f"{stream.key.channel} of {name}: {code}", retries.get(name))
            else:
                self._acknowledged(stream, state)

    def _acknowledged(self, stream: Stream, state: Message) -> None:
        recovered, before = state["recovered"], stream.epoch
        if not recovered:
            stream.is_whole = False
            stream.sequence = state["sequence"]
            stream.replay_until = 0
            if recovered is None and stream.key.channel in PRIVATE and not self.redeliver:
                stream.replay_until = state["sequence"] + state["replayed"]
        self._remember_epoch(stream, state["epoch"])
        if recovered is False and before:  # the gap that follows names the epoch that ended
            self._find_by(stream, before)
        self._set_live(stream, True)
        if stream.replay_until > stream.sequence:
            self.confirm(stream)

    def _error(self, message: Message) -> bool:
        """A request that failed as a whole, or a private stream that ended."""
        name, code, text = message.get("id"), message["code"], message["message"]
        if name in self._asked:
            for stream in self._asked.pop(name):
                if stream.asked == name and self.by_key.get(stream.key) is stream:
                    stream.asked = None
                    self._refused(stream, code, text, message.get("retry_after_ms"))
            return True
        if name in self._resends:
            self._resent(name, 0)
            return True
        details = message.get("details") or {}
        if "subscription_id" not in details:
            return False
        ended = self.by_key.get(Key(details["channel"], str(details["account_id"])))
        if ended is not None:
            self._forget_epoch(ended)
            self._set_live(ended, False)
            self._ask(ended)  # what is left may be had; if nothing is, the answer says so
        return True

    def _refused(self, stream: Stream, code: str, text: str, retry_after_ms: int | None) -> None:
        self._set_live(stream, False)
        if code in TRANSIENT:
            stream.is_waiting = True
            self._later(retry_after_ms or RETRY_MS, lambda: self._retry(stream))
        else:
            stream.sink.failed(code, text)

    def _retry(self, stream: Stream) -> None:
        stream.is_waiting = False
        if not stream.is_live and stream.asked is None:
            self._ask(stream)

    # Where streams are found

    def _remember_epoch(self, stream: Stream, epoch: str) -> None:
        self._forget_epoch(stream)
        stream.epoch = epoch
        self._find_by(stream, epoch)

    def _find_by(self, stream: Stream, epoch: str) -> None:
        self._by_epoch.setdefault(stream.key.channel, {})[epoch] = stream
        stream.epochs.append(epoch)

    def _forget_epoch(self, stream: Stream) -> None:
        streams = self._by_epoch.get(stream.key.channel, {})
        for epoch in stream.epochs:
            if streams.get(epoch) is stream:
                del streams[epoch]
        stream.epochs.clear()

    def _set_live(self, stream: Stream, is_live: bool) -> None:
        if stream.is_live != is_live:
            stream.is_live = is_live
            stream.sink.live(is_live)


def _may_resume(stream: Stream) -> bool:
    """Not before the positions that are open were told: who goes on from a number is told changes alone."""
    return bool(stream.epoch) and (stream.is_whole or stream.key.channel != POSITIONS)


def _names(channel: str, names: Iterable[str]) -> Message:
    if channel in PRIVATE:
        return {"account_ids": [int(name) for name in names]}
    return {"symbols": list(names)}


def _ack(stream: Stream) -> Message:
    return {
        "action": "ack", "channel": stream.key.channel, "account_id": int(stream.key.name), "sequence": stream.sequence
    }  # fmt: skip
