"""Subscriptions as they are kept for a client that comes back: requests of the stream dialect, with where they were.

Must not know who keeps them, nor where.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

import msgspec
from msgspec.structs import replace

from gateway.core.key import tier_of
from gateway.wire.stream import Position, Restore, Subscribe

_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(list[Subscribe]).decode


def packed(requests: Iterable[Subscribe]) -> bytes:
    """As JSON, those with the same options as one."""
    requests = list(requests)
    if len(requests) == 1:  # what nearly every connection has, and what thousands that end at once are told of by
        return _encode([replace(requests[0], id=None)])
    groups: dict[bytes, list[Subscribe]] = {}
    for request in requests:
        options = replace(request, id=None, symbols=[], account_ids=[], resume={})
        groups.setdefault(_encode(options), []).append(request)
    return _encode([_joined(group) for group in groups.values()])


def unpacked(body: bytes, request: Restore) -> list[Subscribe]:
    """The requests to make again; where the client says that it is counts before what was kept.

    Raises msgspec.MsgspecError for what another release has kept and this one does not read.
    """
    return [_at(each, request.resume.get(each.channel, {})) for each in _decode(body)]


def streams_of(request: Subscribe) -> Iterator[tuple[str, str, str, int]]:
    """(channel, name, timeframe, tier in ms) of what a request asks for."""
    timeframe = request.timeframe if request.channel == "bars" else ""
    for name in (*request.named, *map(str, request.account_ids)):
        yield request.channel, name, timeframe, tier_of(request.throttle_ms)


def _joined(group: list[Subscribe]) -> Subscribe:
    return replace(
        group[0],
        id=None,
        symbols=[symbol for each in group for symbol in each.symbols],
        account_ids=[account_id for each in group for account_id in each.account_ids],
        resume={name: position for each in group for name, position in each.resume.items()},
    )


def _at(request: Subscribe, positions: Mapping[str, Position]) -> Subscribe:
    named = {*request.named, *map(str, request.account_ids)}
    return replace(request, resume={**request.resume, **{name: positions[name] for name in named & positions.keys()}})
