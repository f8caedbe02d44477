"""API keys: how one is made, found by its prefix, and compared with what is stored of it.

A key reads `tw_<prefix>_<secret>`. The prefix names it in listings and finds its row; of the whole only the SHA-256 is
kept. A slow hash would add nothing: the secret is 256 random bits, not a word somebody chose. Must not know users,
permissions or a database.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from typing import Final, NamedTuple

_PREFIX_BYTES: Final = 6
_SECRET_BYTES: Final = 32
_SHAPE: Final = re.compile(rf"tw_([0-9a-f]{{{_PREFIX_BYTES * 2}}})_[0-9a-f]{{{_SECRET_BYTES * 2}}}")
_NOTHING: Final = bytes(32)  # no text is known to have this hash


class NewKey(NamedTuple):
    """A key just made: `text` is shown once, the other two are stored."""

    text: str
    prefix: str
    hash: bytes

    def __repr__(self) -> str:
        return f"NewKey(prefix={self.prefix!r})"


def make() -> NewKey:
    prefix = secrets.token_hex(_PREFIX_BYTES)
    text = f"tw_{prefix}_{secrets.token_hex(_SECRET_BYTES)}"
    return NewKey(text, prefix, hash_of(text))


def again(text: str) -> NewKey | None:
    """A key that was made before; None when the text is no key of ours."""
    prefix = prefix_of(text)
    return None if prefix is None else NewKey(text, prefix, hash_of(text))


def prefix_of(text: str) -> str | None:
    """What finds the row of a key; None when the text is no key of ours."""
    found = _SHAPE.fullmatch(text)
    return found[1] if found else None


def hash_of(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def matches(text: str, stored: bytes | None) -> bool:
    """Whether this is the stored key, in a time that does not tell how much of it is right, nor that none is stored."""
    return hmac.compare_digest(hash_of(text), _NOTHING if stored is None else stored) and stored is not None
