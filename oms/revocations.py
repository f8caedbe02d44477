"""Tokens that are good no more, before their time: by their own id, or all of a signing key, an API key or a user.

Pure. Must not know where that is kept, nor who is told.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

import msgspec

from oms.tokens import Read


class Kind(StrEnum):
    """What tokens have in common that are revoked together."""

    TOKEN = "token"  # noqa: S105  # its `jti`
    SIGNING_KEY = "signing-key"  # its `kid`: for good, whatever a token says of its time
    API_KEY = "api-key"  # the number of the API key it stands for; those made until then
    USER = "user"  # by name; those made until then


class Revocation(msgspec.Struct, frozen=True, kw_only=True):
    """As it is stored."""

    kind: Kind
    name: str
    revoked_ns: int


class Revocations:
    """What is revoked by now."""

    def __init__(self, rows: Iterable[Revocation] = ()) -> None:
        self._revoked_ns = {(row.kind, row.name): row.revoked_ns for row in rows}

    def has(self, read: Read) -> bool:
        """Whether a token is revoked. One of the same second as the revocation is."""
        claims = read.claims
        known = self._revoked_ns
        if (Kind.TOKEN, claims.jti) in known or (Kind.SIGNING_KEY, read.key.kid) in known:
            return True
        until_ns = max(known.get((Kind.API_KEY, str(claims.kid)), -1), known.get((Kind.USER, claims.sub), -1))
        return claims.iat * 1_000_000_000 <= until_ns
