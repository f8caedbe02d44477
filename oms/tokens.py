"""Tokens: short-lived JSON Web Tokens that stand for an API key where the key itself must not appear.

A browser cannot set headers on a WebSocket, and a URL ends up in logs: so a token lives `TTL_S`, and in a URL it opens
one connection only. The key that signs them lives as long as the process: nothing that could make tokens is stored, and
after a start a client asks for another one. Must not know which API keys exist, nor what they may do.
"""

from __future__ import annotations

import secrets
from collections import deque
from typing import Any, Final

import jwt
import msgspec

from oms.errors import OmsError

TTL_S: Final = 60
SIGNING_KEY_BYTES: Final = 32
_ALGORITHM: Final = "HS256"
_UNREADABLE: Final = (jwt.InvalidTokenError, RecursionError)  # the latter for JSON that is nested too deep


class Claims(msgspec.Struct, frozen=True, kw_only=True):
    """What a token says: the user, the API key it was made for, and what of that key's rights it carries."""

    sub: str
    kid: int
    accounts: frozenset[int] | None  # None: every account, as an admin's key has it
    scope: str  # separated by spaces
    iat: int
    exp: int
    jti: str


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """As it is handed out."""

    token: str
    expires_in_s: int

    def __repr__(self) -> str:
        return f"Token(expires_in_s={self.expires_in_s})"


def new_signing_key() -> bytes:
    return secrets.token_bytes(SIGNING_KEY_BYTES)


class Tokens:
    """Makes tokens, reads them, and remembers which were shown in a URL for as long as they could be shown again."""

    def __init__(self, signing_key: bytes, *, started_s: int) -> None:
        """`started_s`: since when there is this key; an older token was signed with another."""
        self._key = signing_key
        self._started_s = started_s
        self._used: set[str] = set()
        self._order: deque[tuple[int, str]] = deque()  # by the time of use; a token is forgotten TTL_S later

    def issue(self, *, sub: str, kid: int, accounts: frozenset[int] | None, scope: str, now_s: int) -> Token:
        claims: dict[str, Any] = {
            "sub": sub,
            "kid": kid,
            "accounts": None if accounts is None else sorted(accounts),
            "scope": scope,
            "iat": now_s,
            "exp": now_s + TTL_S,
            "jti": secrets.token_urlsafe(16),
        }
        return Token(token=jwt.encode(claims, self._key, algorithm=_ALGORITHM), expires_in_s=TTL_S)

    def read(self, text: str) -> Claims:
        """Raises OmsError: `token_expired` for one of ours that is too old, `invalid_api_key` for anything else."""
        try:
            # `accounts` of null is a claim too, so presence is left to the conversion
            claims = jwt.decode(text, self._key, algorithms=[_ALGORITHM], options={"require": ["exp", "iat", "jti"]})
            return msgspec.convert(claims, Claims)
        except jwt.ExpiredSignatureError:
            raise OmsError("token_expired", "the token has expired: get another with GET /api/ws/token") from None
        except jwt.InvalidSignatureError:
            if self._is_older(text):
                raise OmsError("token_expired", "the token is from before a start: get another") from None
            raise OmsError("invalid_api_key", "the token is not valid") from None
        except (*_UNREADABLE, msgspec.ValidationError):
            raise OmsError("invalid_api_key", "the token is not valid") from None

    def use_once(self, claims: Claims, now_s: int) -> None:
        """Note that it was shown in a URL. Raises OmsError when that has happened before."""
        while self._order and self._order[0][0] + TTL_S < now_s:
            self._used.discard(self._order.popleft()[1])
        if claims.jti in self._used:
            raise OmsError("token_expired", "a token in a URL is good for one connection: get another")
        self._used.add(claims.jti)
        self._order.append((now_s, claims.jti))

    def _is_older(self, text: str) -> bool:
        """Whether a token that is refused anyway says it is from before the start: another one would open."""
        try:
            made_s = jwt.decode(text, options={"verify_signature": False}).get("iat")
        except _UNREADABLE:
            return False
        return isinstance(made_s, int) and made_s < self._started_s
