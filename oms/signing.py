"""Signatures of messages: what both sides derive of an API key, what is signed, and what is accepted once.

An API key is kept as a hash only, which is no secret to whoever reads the table; so beside it a *signing secret* is
derived of the key when that is made, and stored sealed (`oms.vault`). Clients derive the same. Pure but for the memory
of nonces; time is passed in. Must not know a dialect, a table, nor how what is sealed is opened.
"""

from __future__ import annotations

import base64
import hashlib
import heapq
import hmac
import re
from typing import Final, NamedTuple, Protocol

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from oms.errors import OmsError

WINDOW_MS: Final = 5_000  # how old a signed message may be, or how far ahead of our clock
NONCE: Final = re.compile(r"[A-Za-z0-9_-]{16,64}\Z")
NONCES_PER_KEY_MAX: Final = 10_000  # of 10 s: a key asks 200 times a second unless it was given a higher rate
_SECRET_INFO: Final = b"tickwire signing secret v1"
_EVENTS_INFO: Final = b"tickwire events v1"  # two directions, two keys: nothing of ours can be sent back to us
_COMMANDS_INFO: Final = b"tickwire commands v1"
_HASH_BYTES: Final = 32


class Signature(Protocol):
    """What a client said of a message of commands."""

    @property
    def sig(self) -> str: ...
    @property
    def ts(self) -> int:
        """When it was signed, in ms."""

    @property
    def nonce(self) -> str: ...
    @property
    def payload(self) -> bytes:
        """What was signed, as it came."""

    @property
    def connection_id(self) -> str:
        """Of the connection that it is for; empty where a connection has no name."""


class Signed(NamedTuple):
    """A `Signature`."""

    sig: str
    ts: int
    nonce: str
    payload: bytes
    connection_id: str = ""


def hkdf(secret: bytes, salt: bytes, info: bytes, size: int = _HASH_BYTES) -> bytes:
    """HKDF with SHA-256 (RFC 5869)."""
    return HKDF(SHA256(), size, salt, info).derive(secret)


def secret_of(api_key: str) -> bytes:
    """The signing secret of an API key, by its whole text."""
    return hkdf(api_key.encode(), b"", _SECRET_INFO)


def events_key(secret: bytes, connection_id: str) -> bytes:
    """What signs the events that are told on a connection."""
    return hkdf(secret, connection_id.encode(), _EVENTS_INFO)


def commands_key(secret: bytes, connection_id: str) -> bytes:
    """What signs commands on a connection; those of no connection in particular, without a name."""
    return hkdf(secret, connection_id.encode(), _COMMANDS_INFO)


def sign(key: bytes, text: bytes) -> str:
    """HMAC-SHA256 as base64url without padding."""
    return base64.urlsafe_b64encode(hmac.digest(key, text, hashlib.sha256)).rstrip(b"=").decode("ascii")


def signed_text(signature: Signature) -> bytes:
    """What of a message of commands is signed: neither `ts` nor `nonce` can hold a dot, so it is read in one way."""
    return b"%d.%s.%s" % (signature.ts, signature.nonce.encode(), signature.payload)


def check(secret: bytes, signature: Signature, now_ms: int, began_ms: int) -> None:
    """Raises OmsError unless the message was signed with the secret, a moment ago.

    `began_ms`: since when all nonces are remembered. A connection's name is of this process anyway.
    """
    if NONCE.match(signature.nonce) is None:
        raise refusal("nonce_invalid", "a nonce is 16 to 64 of A-Z, a-z, 0-9, - and _: make it of 16 random bytes")
    since_ms = now_ms - WINDOW_MS if signature.connection_id else max(now_ms - WINDOW_MS, began_ms)
    if not since_ms <= signature.ts <= now_ms + WINDOW_MS:
        raise refusal("timestamp_out_of_window", f"ts is not within {WINDOW_MS} ms of our clock", {"server_ts": now_ms})
    expected = sign(commands_key(secret, signature.connection_id), signed_text(signature))
    if not hmac.compare_digest(expected.encode(), signature.sig.encode("utf-8", "surrogatepass")):
        raise refusal("signature_invalid", "the signature is not that of these bytes")


def refusal(reason: str, message: str, more: dict[str, int] | None = None) -> OmsError:
    return OmsError("permission_denied", message, details={"reason": reason, **(more or {})})


def required(**details: int) -> OmsError:
    """What is not done unsigned; `details` say for which account, where it is one."""
    text = "this account takes signed commands only" if details else "some account takes signed commands only"
    return OmsError("permission_denied", text, details={**details, "reason": "signature_required"})


class Nonces:
    """Those that were used and could be used again: `use` lets each through once."""

    def __init__(self) -> None:
        self._used: dict[int, dict[str, int]] = {}  # by API key, until when it could be shown again
        self._order: list[tuple[int, int, str]] = []  # a heap of (until, api_key_id, nonce)
        self._forgotten_ms = 0  # the last `until` of those that are not remembered any more

    def __len__(self) -> int:
        return len(self._order)

    def use(self, api_key_id: int, nonce: str, ts: int, now_ms: int) -> None:
        """For a message whose signature is right. Raises OmsError when the nonce was used, or too many were."""
        while self._order and self._order[0][0] < now_ms:
            self._forgotten_ms, key, old = heapq.heappop(self._order)
            del self._used[key][old]
            if not self._used[key]:
                del self._used[key]
        if ts + WINDOW_MS <= self._forgotten_ms:  # our clock was set back: it may have been used
            raise refusal("timestamp_out_of_window", "ts is too old by a clock of ours", {"server_ts": now_ms})
        mine = self._used.get(api_key_id, {})
        if nonce in mine:
            raise refusal("nonce_reused", "this nonce was used before: each message has one of its own")
        if len(mine) >= NONCES_PER_KEY_MAX:
            text = f"more than {NONCES_PER_KEY_MAX} signed messages in {2 * WINDOW_MS} ms"
            raise OmsError("rate_limited", text, retry_after_ms=WINDOW_MS)
        mine[nonce] = until = ts + WINDOW_MS
        self._used[api_key_id] = mine
        heapq.heappush(self._order, (until, api_key_id, nonce))
