"""How numbered updates look in the oms dialect: a market for one account, and the events of an account.

The account is only a prefix of the frame, so what accounts of one exchange read is numbered and encoded once. Must not
know subscribers, sockets or the hub: a topic is only its name.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

from _speedups.frame import DATA, EPOCH, OP_TEXT, SEQUENCE, TIME_MS, Form, Template, encode
from gateway.core.key import UNIFIED_CHANNELS, StreamId
from gateway.core.private import Event
from gateway.limits import Limits
from gateway.wire.forms import Squeeze
from gateway.wire.oms import CCXT, POSITION, Echo, envelope


class MarketForm(Form):
    """Market data for one account: the frames of an account are the same bytes for everybody who has it."""

    def __init__(self, account_id: int, squeeze: Squeeze | None = None) -> None:
        self._account_id = account_id
        self._squeeze = squeeze

    def template(self, topic: StreamId) -> Template:
        channel = UNIFIED_CHANNELS[topic.key.channel].type
        event = envelope(Echo(None, CCXT, "event"), "ws_event", f"{channel}_updated", None)
        payload = orjson.dumps({"account_id": self._account_id, "symbol": topic.key.symbol, "channel": channel})
        head = event.removesuffix(b"null}") + payload.removesuffix(b"}") + b',"data":'
        return Template([head, DATA, b',"ts_ms":', TIME_MS, b'},"seq":', SEQUENCE, b',"epoch":"', EPOCH, b'"}'])

    def gap(self, topic: StreamId, epoch: str, first: int, last: int, reason: str, new_epoch: str | None) -> bytes:
        payload: dict[str, Any] = {
            "account_id": self._account_id,
            "symbol": topic.key.symbol,
            "channel": UNIFIED_CHANNELS[topic.key.channel].type,
            "epoch": epoch,
            "from": first,
            "to": last,
            "reason": reason,
        }
        if new_epoch is not None:
            payload["new_epoch"] = new_epoch
        return envelope(Echo(None, CCXT, "event"), "ws_event", "gap", payload)

    def finish(self, payload: bytes) -> bytes:
        """A message of this account as a frame, whether or not it is of a market."""
        squeeze = self._squeeze
        if squeeze is None or len(payload) < squeeze.bytes_min:
            return encode(OP_TEXT, payload)
        return encode(OP_TEXT, squeeze.squeeze(payload), squeeze.rsv1)


def private_event(channel: str, epoch: str, event: Event, prev_sequence: int | None) -> bytes:
    """An event of an account. `prev_sequence`: the number before it, for who is not shown every number."""
    more: dict[str, Any] = {"channel": channel, "seq": event.channel_sequence, "epoch": epoch}
    if prev_sequence is not None:
        more["prev_seq"] = prev_sequence
    said = envelope(Echo(None, POSITION, "event"), "ws_event", event.event, None).removesuffix(b"null}")
    return said + event.data + b"," + orjson.dumps(more)[1:]


class OmsForms:
    """The forms of one process: everybody who has an account gets the same instance for it."""

    def __init__(self, limits: Limits, deflate: Callable[[bytes], bytes]) -> None:
        self._squeeze = Squeeze(deflate, limits.deflate_bytes_min, None, rsv1=True)
        self._forms: dict[tuple[int, bool], MarketForm] = {}

    def of(self, account_id: int, *, deflate: bool) -> MarketForm:
        """The form of an account, on a connection that did or did not negotiate deflate."""
        form = self._forms.get((account_id, deflate))
        if form is None:
            form = self._forms[account_id, deflate] = MarketForm(account_id, self._squeeze if deflate else None)
        return form
