"""Private streams and commands in the stream dialect: what is told of an account, as bytes.

Holds the shape of every message that names an account, numbered ones too. Must not know a socket, who may see what, nor
what an order is: resources come in as finished JSON.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgspec
import orjson

from _speedups.frame import Form, Update
from gateway.core.key import PRIVATE_CHANNELS, Key, StreamId
from gateway.core.private import Accepted, Event, Result
from gateway.errors import TickwireError
from gateway.wire import stream

AFTER_TIMESTAMP: Final = b'","t_ex":'


class Listed(msgspec.Struct, frozen=True, omit_defaults=True):
    """One private stream of a `subscriptions` reply; `throttle_ms` and `batch` where they can be chosen."""

    subscription_id: str
    channel: str
    account_id: int
    encoding: str
    compression: str
    throttle_ms: int | None = None
    batch: bool | None = None
    sign: bool = False


class Framer:
    """The numbered messages of one subscription, in its form; `sign` where the client asked for signatures."""

    def __init__(self, form: Form, channel: str, account_id: int, sign: Callable[[bytes], str] | None = None) -> None:
        self._form = form
        self._sign = sign
        self._channel = channel
        self._names_events = PRIVATE_CHANNELS[channel].names_events
        self._account_id = account_id
        self._template = form.template(StreamId(Key("", channel, ""), 0, False))

    def update(self, epoch: str, event: Event, prev_sequence: int | None, t_out: int) -> bytes:
        """The frame of an event. `prev_sequence`: the number before it, for who is not shown every number."""
        more = b',"event":' + orjson.dumps(event.event) if self._names_events else b""
        if prev_sequence is not None:
            more += b',"prev_sequence":%d' % prev_sequence
        data = event.data[:-1] + (more if len(event.data) > len(b"{}") else more[1:]) + b"}"
        return self._frame(Update(event.channel_sequence, data, None, event.created_ns, t_out, False), epoch)

    def snapshot(self, epoch: str, sequence: int, items: bytes, t_in: int) -> bytes:
        """The frame of everything that is open as of a number."""
        data = b'{"account_id":%d,"items":%s}' % (self._account_id, items)
        return self._frame(Update(sequence, data, None, t_in, t_in, True), epoch)

    def gap(self, epoch: str, first: int, last: int, new_epoch: str | None) -> bytes:
        """The frame that says what a resume cannot bring back."""
        fields = {
            "type": "gap", "channel": self._channel, "account_id": self._account_id, "epoch": epoch,
            "from": first, "to": last, "reason": "resync",
        }  # fmt: skip
        if new_epoch is not None:
            fields["new_epoch"] = new_epoch
        return self._form.finish(orjson.dumps(fields))

    def _frame(self, update: Update, epoch: str) -> bytes:
        payload = self._template.render(update, epoch)
        if self._sign is not None:
            before, _, _ = payload.partition(AFTER_TIMESTAMP)  # the first there is: what stands before it is ours
            timestamp = before[before.rindex(b'"') + 1 :]
            text = b"%s.%d.%s.%s" % (epoch.encode(), update.sequence, timestamp, update.data)
            payload = payload[:-1] + b',"sig":"' + self._sign(text).encode() + b'"}'
        return self._form.finish(payload)


def subscribed(
    request: stream.Subscribe,
    subscription_id: str,
    streams: Mapping[int, stream.StreamState],
    errors: Mapping[int, str],
    throttle_ms: int = 0,
) -> bytes:
    """The one ack of a subscribe. `streams` and `errors` are by account."""
    data = {
        "subscription_id": subscription_id,
        "account_ids": list(streams),
        "throttle_ms": throttle_ms,
        "streams": {str(account_id): state for account_id, state in streams.items()},
        "errors": {str(account_id): code for account_id, code in errors.items()},
    }
    return stream.reply("subscribed", request.id, {"channel": request.channel, "data": data})


def unsubscribed(request: stream.Unsubscribe, account_ids: Sequence[int], errors: Mapping[int, str]) -> bytes:
    said = {str(account_id): code for account_id, code in errors.items()}
    data = {"account_ids": account_ids, "errors": said}
    return stream.reply("unsubscribed", request.id, {"channel": request.channel, "data": data})


def acked(request: stream.Ack) -> bytes:
    """The confirmation is kept."""
    data = {"account_id": request.account_id, "sequence": request.sequence}
    return stream.reply("acked", request.id, {"channel": request.channel, "data": data})


def command_result(request: stream.Command, results: Sequence[Result]) -> bytes:
    """The same body that REST answers with."""
    data = {"results": [result.plain(index) for index, result in enumerate(results)]}
    return stream.reply("command_result", request.id, {"data": data})


def published(request: stream.Publish, accepted: Accepted) -> bytes:
    """It is kept, and told."""
    data = {"id": accepted.publication.id, "replayed": accepted.replayed}
    return stream.reply("published", request.id, {"channel": request.channel, "data": data})


def ended(failure: TickwireError, listed: Listed, request_id: str) -> bytes:
    """A stream is over, and why: nothing of it follows."""
    place = {"subscription_id": listed.subscription_id, "channel": listed.channel, "account_id": listed.account_id}
    said = TickwireError(
        failure.code, failure.message, details={**(failure.details or {}), **place},
        retry_after_ms=failure.retry_after_ms,
    )  # fmt: skip
    return stream.error(said, None, request_id)
