"""What is signed of a message, in any dialect that takes commands: the bytes of its `payload`, as they came.

Pure. Must not know a key, nor whether a signature is needed or right.
"""

from __future__ import annotations

from typing import Annotated, Final, Protocol

import msgspec

from gateway.core.private import Signature

Text = Annotated[str, msgspec.Meta(max_length=128)]  # of a signature or a nonce: both are shorter


class _Signed(msgspec.Struct, frozen=True):
    payload: msgspec.Raw


class Commanding(Protocol):
    """A request that may be signed."""

    @property
    def sig(self) -> str | None: ...
    @property
    def ts(self) -> int | None: ...
    @property
    def nonce(self) -> str | None: ...


_signed: Final = msgspec.json.Decoder(_Signed)


def payload_of(raw: str | bytes) -> bytes:
    """The bytes of the value of `payload`, of a message that was read before. Of several the last counts, as there."""
    return bytes(_signed.decode(raw).payload)


def is_whole(request: Commanding) -> bool:
    """All of a signature is there, or nothing of it."""
    given = [field is not None for field in (request.sig, request.ts, request.nonce)]
    return all(given) or not any(given)


def signature_of(request: Commanding, payload: bytes, connection_id: str) -> Signature | None:
    """What a client said of a request of commands; `connection_id` is empty where a connection has no name."""
    if request.sig is None or request.ts is None or request.nonce is None:
        return None
    return Signature(request.sig, request.ts, request.nonce, payload, connection_id)
