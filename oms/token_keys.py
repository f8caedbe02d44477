"""Keys that sign tokens, or check those of others: what a file holds, and what a key is good for.

One key has one algorithm (RFC 8725 section 3.1): a token says by which key it was signed, never how that is checked.
Must not know what a token carries.
"""

from __future__ import annotations

import base64
import json
import secrets
import stat
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

OURS: Final = "tickwire"  # issuer and audience of the tokens we make
HS256: Final = "HS256"
EDDSA: Final = "EdDSA"  # RFC 8037, with Ed25519
SECRET_BYTES_MIN: Final = 32  # RFC 7518 section 3.2: as long as the hash


class KeyFileError(Exception):
    """A key that cannot be used; the message says what to do and holds nothing of the key."""


class KeyPair(NamedTuple):
    """What checks a signature, and what makes one; without the latter the key is somebody else's."""

    verifying: Any
    signing: Any

    def __repr__(self) -> str:
        return "KeyPair(..)"


class TokenKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key with its name (`kid`), and what may be said with it."""

    kid: str
    algorithm: str
    pair: KeyPair
    issuer: str = OURS
    audience: str = OURS
    users: frozenset[str] = frozenset()  # for whom its tokens may be; none: for everybody
    leeway_s: float = 0.0  # how far the issuer's clock may be off
    lifetime_max_s: float | None = None  # of its tokens
    retires_ns: int | None = None  # nothing signed with it is good from then on

    def __repr__(self) -> str:
        return f"TokenKey(kid={self.kid!r}, algorithm={self.algorithm!r})"

    @property
    def is_ours(self) -> bool:
        """We make tokens with it."""
        return self.issuer == OURS and self.pair.signing is not None

    def is_retired(self, now_s: float) -> bool:
        return self.retires_ns is not None and self.retires_ns <= now_s * 1e9


def new_signing_key() -> TokenKey:
    """A key that lives as long as the process."""
    secret = secrets.token_bytes(SECRET_BYTES_MIN)
    return TokenKey(kid=f"process-{secrets.token_hex(6)}", algorithm=HS256, pair=KeyPair(secret, secret))


def new_file(algorithm: str) -> str:
    """The content of a file with a new key."""
    if algorithm == HS256:
        return base64.urlsafe_b64encode(secrets.token_bytes(SECRET_BYTES_MIN)).decode() + "\n"
    made = Ed25519PrivateKey.generate()
    return made.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


def public_file(content: str) -> str:
    """The content of a file with the public half of an EdDSA key. Raises KeyFileError."""
    made: str = (
        parse(EDDSA, content.encode())
        .verifying.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        .decode()
    )
    return made


def load(file: Path, algorithm: str, *, is_ours: bool) -> KeyPair:
    """The key in a file; `is_ours`: tokens are made with it. Raises KeyFileError."""
    try:
        content = file.read_bytes()
        mode = stat.S_IMODE(file.stat().st_mode)
    except OSError as error:
        raise KeyFileError(f"the token key {file} cannot be read: {error.strerror}") from None
    try:
        pair = parse(algorithm, content)
    except KeyFileError as error:
        raise KeyFileError(f"the token key {file}: {error}") from None
    if not is_ours and algorithm == EDDSA and pair.signing is not None:
        raise KeyFileError(f"the token key {file} is private, and of another issuer: only its public key belongs here")
    if pair.signing is not None and mode & 0o077:
        raise KeyFileError(
            f"the token key {file} can be read by others (mode {mode:o}): chmod 600 it, and make another"
        )
    return pair


def parse(algorithm: str, content: bytes) -> KeyPair:
    """A key: of HS256 base64url, of EdDSA PEM or JWK, private or public. Raises KeyFileError."""
    return _secret(content) if algorithm == HS256 else _ed25519(content)


def _secret(content: bytes) -> KeyPair:
    """Never a public key: whoever has that could sign (CVE-2015-9235)."""
    try:
        secret = _bytes(content.decode("ascii").strip().rstrip("="))
    except ValueError:
        raise KeyFileError("a key of HS256 is base64url: `tickwire token key HS256` makes one") from None
    if len(secret) < SECRET_BYTES_MIN:
        raise KeyFileError(f"a key of HS256 has at least {SECRET_BYTES_MIN} bytes")
    return KeyPair(secret, secret)


def _ed25519(content: bytes) -> KeyPair:
    try:
        if content.lstrip().startswith(b"{"):
            return _jwk(json.loads(content))
        if b"PRIVATE KEY" in content:
            found: Any = serialization.load_pem_private_key(content, None)
        else:
            found = serialization.load_pem_public_key(content)
    except (ValueError, TypeError, KeyError, RecursionError, UnsupportedAlgorithm):
        raise KeyFileError("a key of EdDSA is PEM without a password, or a JWK: `tickwire token key EdDSA`") from None
    if isinstance(found, Ed25519PrivateKey):
        return KeyPair(found.public_key(), found)
    if isinstance(found, Ed25519PublicKey):
        return KeyPair(found, None)
    raise KeyFileError("a key of EdDSA is one of Ed25519")


def _jwk(key: dict[str, str]) -> KeyPair:
    """RFC 8037 section 2. Raises ValueError, TypeError or KeyError."""
    if key["kty"] != "OKP" or key["crv"] != "Ed25519":
        raise KeyFileError("a key of EdDSA is one of Ed25519")
    public = Ed25519PublicKey.from_public_bytes(_bytes(key["x"]))
    if "d" not in key:
        return KeyPair(public, None)
    private = Ed25519PrivateKey.from_private_bytes(_bytes(key["d"]))
    if private.public_key() != public:
        raise KeyFileError("the public half is another key's")
    return KeyPair(public, private)


def _bytes(text: str) -> bytes:
    """Of base64url without padding. Raises ValueError."""
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
