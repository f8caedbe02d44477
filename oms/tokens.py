"""Tokens: JSON Web Tokens that stand for an API key where the key itself must not appear.

A browser cannot set headers on a WebSocket, and a URL ends up in logs: so a token of ours lives `TTL_S`, and in a URL
any token opens one connection only. Which key checks a token is said by its `kid`; how it is checked is said by the key
(RFC 8725 section 3.1). Without configured keys there is one that lives as long as the process: nothing that could make
tokens is stored. Must not know which API keys exist, nor what they may do.
"""

from __future__ import annotations

import base64
import hashlib
import heapq
import hmac
import secrets
from typing import Annotated, Any, Final

import jwt
import msgspec
from cryptography.exceptions import InvalidSignature

from oms.errors import OmsError
from oms.token_keys import EDDSA, OURS, TokenKey

TTL_S: Final = 60
TOKEN_CHARS_MAX: Final = 8_192  # with a thousand accounts in it
JTI_CHARS_MAX: Final = 128
USED_MAX: Final = 100_000  # tokens shown in URLs and still good: 20 MB
HEADS_MAX: Final = 64  # headers of good tokens: an issuer writes one for each of its keys
CHECKED_MAX: Final = 10_000  # good tokens whose signature need not be checked again: 2 MB, however long they are
_UNREADABLE: Final = (jwt.InvalidTokenError, ValueError, RecursionError)  # the last for JSON that is nested too deep
_NOT_VALID: Final = "the token is not valid"


Seconds = Annotated[int, msgspec.Meta(ge=0, le=1 << 53)]  # since 1970; more than any clock says cannot be reckoned with


class Claims(msgspec.Struct, frozen=True, kw_only=True):
    """What a token says: the user, the API key it was made for, and what of that key's rights it carries."""

    sub: str
    kid: int
    accounts: frozenset[int] | None  # None: every account, as an admin's key has it
    scope: str  # separated by spaces
    iat: Seconds
    exp: Seconds
    jti: str
    nbf: Seconds = 0  # a null is no time


class _Told(Claims, frozen=True, kw_only=True):
    """With what is settled when it is read: who says so, and to whom."""

    iss: str
    aud: str | list[str]


_told: Final = msgspec.json.Decoder(_Told)


class Read(msgspec.Struct, frozen=True, kw_only=True):
    """A token that is good, and the key that says so."""

    claims: Claims
    key: TokenKey


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """As it is handed out."""

    token: str
    expires_in_s: int

    def __repr__(self) -> str:
        return f"Token(expires_in_s={self.expires_in_s})"


class Tokens:
    """Makes tokens, reads them, and remembers which were shown in a URL for as long as they could be shown again."""

    def __init__(self, *keys: TokenKey, started_s: int) -> None:
        """The first key of ours signs, every one reads; one of them never retires. `started_s`: since when we remember
        what was shown."""
        self._keys = {key.kid: key for key in keys}
        self._signing = [key for key in keys if key.is_ours]
        self._started_s = started_s
        self._used: set[tuple[str, str]] = set()  # kid, jti
        self._order: list[tuple[float, tuple[str, str]]] = []  # a heap, by when it is good no more
        self._heads: dict[str, TokenKey] = {}  # by the first part of tokens that were good
        self._checked: dict[bytes, None] = {}  # hashes, the oldest first

    def issue(self, *, sub: str, kid: int, accounts: frozenset[int] | None, scope: str, now_s: int) -> Token:
        claims: dict[str, Any] = {
            "iss": OURS,
            "aud": OURS,
            "sub": sub,
            "kid": kid,
            "accounts": None if accounts is None else sorted(accounts),
            "scope": scope,
            "iat": now_s,
            "exp": now_s + TTL_S,
            "jti": secrets.token_urlsafe(16),
        }
        key = next(each for each in self._signing if not each.is_retired(now_s))
        text = jwt.encode(claims, key.pair.signing, algorithm=key.algorithm, headers={"kid": key.kid})
        return Token(token=text, expires_in_s=TTL_S)

    def read(self, text: str, now_s: float) -> Read:
        """Raises OmsError: `token_expired` for one that was good once, `invalid_api_key` for anything else."""
        if len(text) > TOKEN_CHARS_MAX:
            raise OmsError("invalid_api_key", "the token is too long")
        head = text.partition(".")[0]
        key = self._heads.get(head) or self._key_of(text)
        try:
            if key.algorithm == EDDSA:
                self._verify_once(text, key)
            else:
                verify(text, key)
            claims = claims_of(text, key)
        except (*_UNREADABLE, msgspec.MsgspecError, InvalidSignature):
            raise OmsError("invalid_api_key", _NOT_VALID) from None
        if len(self._heads) < HEADS_MAX:
            self._heads[head] = key
        self._check(claims, key, now_s)
        return Read(claims=claims, key=key)

    def _verify_once(self, text: str, key: TokenKey) -> None:
        """A signature whose check costs fifty times what remembering it does: who comes back shows it again.

        Nothing else is remembered: what it says is read, and times and revocations looked at, whenever it is shown."""
        digest = hashlib.sha256(text.encode()).digest()
        if digest in self._checked:
            return
        verify(text, key)
        if len(self._checked) >= CHECKED_MAX:
            del self._checked[next(iter(self._checked))]
        self._checked[digest] = None

    def use_once(self, read: Read, now_s: float) -> None:
        """Note that it was shown in a URL. Raises OmsError when that has happened before, or may have."""
        while self._order and self._order[0][0] < now_s:
            self._used.discard(heapq.heappop(self._order)[1])
        claims, key = read.claims, read.key
        shown = (key.kid, claims.jti)
        if shown in self._used:
            raise OmsError("token_expired", "a token in a URL is good for one connection: get another")
        if claims.iat < self._started_s:
            raise OmsError("token_expired", "the token is from before a start: get another")
        if len(self._used) >= USED_MAX:
            raise OmsError("rate_limited", "too many tokens in URLs: try again later", retry_after_ms=TTL_S * 1000)
        self._used.add(shown)
        heapq.heappush(self._order, (claims.exp + key.leeway_s, shown))

    def _key_of(self, text: str) -> TokenKey:
        """The key that a token names. Its `alg` has to be the key's, and no extension is understood (RFC 7515 4.1)."""
        try:
            header = jwt.get_unverified_header(text)
        except _UNREADABLE:
            raise OmsError("invalid_api_key", _NOT_VALID) from None
        kid = header.get("kid")
        key = self._keys.get(kid) if isinstance(kid, str) else None
        if key is None and self._is_older(text):
            raise OmsError("token_expired", "the token is from before a start: get another")
        if key is None or header.get("alg") != key.algorithm or "crit" in header or "b64" in header:
            raise OmsError("invalid_api_key", _NOT_VALID)
        return key

    def _check(self, claims: Claims, key: TokenKey, now_s: float) -> None:
        """RFC 7519 section 4.1, for what an honest issuer signed."""
        if claims.exp + key.leeway_s <= now_s:
            raise OmsError("token_expired", "the token has expired: get another")
        if key.is_retired(now_s):
            raise OmsError("token_expired", "the token was signed with a key that is retired: get another")
        if max(claims.iat, claims.nbf) - key.leeway_s > now_s:
            raise OmsError("invalid_api_key", "the token is of a time to come: are the clocks right?")
        if key.lifetime_max_s is not None and claims.exp - claims.iat > key.lifetime_max_s:
            raise OmsError("invalid_api_key", "the token is good for longer than a token may be")
        if key.users and claims.sub not in key.users:
            raise OmsError("invalid_api_key", "this issuer makes no tokens for this user")
        if len(claims.jti) > JTI_CHARS_MAX:
            raise OmsError("invalid_api_key", _NOT_VALID)

    def _is_older(self, text: str) -> bool:
        """Whether a token that is refused anyway says it is from before the start: another one would open."""
        try:
            claims = jwt.decode(text, options={"verify_signature": False})
        except _UNREADABLE:
            return False
        made_s = claims.get("iat")
        return isinstance(made_s, int) and made_s < self._started_s


def verify(text: str, key: TokenKey) -> None:
    """Whether a token of three parts is signed by the key (RFC 7515 section 5.2), else ValueError or InvalidSignature.

    How that is checked is the key's own matter: the header was compared with it. PyJWT takes ten times the time for
    this and what follows, which is most of what a connection costs.
    """
    signed, _, signature = text.rpartition(".")
    if key.algorithm == EDDSA:
        key.pair.verifying.verify(_bytes(signature), signed.encode("ascii"))
    elif not hmac.compare_digest(hmac.digest(key.pair.verifying, signed.encode("ascii"), "sha256"), _bytes(signature)):
        raise InvalidSignature


def claims_of(text: str, key: TokenKey) -> Claims:
    """What a token says whose signature is the key's (RFC 7519 section 7.2). Raises ValueError or MsgspecError."""
    told = _told.decode(_bytes(text.rpartition(".")[0].partition(".")[2]))
    audiences = [told.aud] if isinstance(told.aud, str) else told.aud
    if told.iss != key.issuer or key.audience not in audiences:
        raise ValueError("of another issuer, or for somebody else")
    return told


def _bytes(part: str) -> bytes:
    """Of base64url without padding, and of nothing else. Raises ValueError."""
    read = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    if base64.urlsafe_b64encode(read).rstrip(b"=") != part.encode():
        raise ValueError("padded, of the other alphabet, or with bits that mean nothing")
    return read
