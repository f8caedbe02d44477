"""Credentials of venues, and signing secrets, at rest: sealed under a master key, each bound to whose it is.

Sealed text is Fernet (AES-CBC with an HMAC over all of it); the account's id, or the API key's prefix, is inside, so
that a row copied to another does not open. The first master key seals, every one opens: that is how keys are changed.
Must not know where sealed bytes are stored.
"""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec
from cryptography.fernet import Fernet, InvalidToken, MultiFernet

KEY_FILE: Final = "master.key"


class VaultError(Exception):
    """Credentials that cannot be sealed or opened; the message says what to do and holds no secret."""


class _SealedKey(msgspec.Struct, frozen=True):
    prefix: str
    secret: bytes


class _Sealed(msgspec.Struct, frozen=True):
    account_id: int
    credentials: dict[str, str]


def new_master_key() -> str:
    return Fernet.generate_key().decode()


class Vault:
    """Seals and opens what an account shows to its venue (`apiKey`, `secret`, ..)."""

    def __init__(self, master_keys: Sequence[str]) -> None:
        """The newest key first. Raises VaultError for one that is no key."""
        try:
            self._fernet = MultiFernet([Fernet(key) for key in master_keys])
        except ValueError:
            raise VaultError("a master key is 32 bytes in URL-safe base64, and at least one is needed") from None

    def seal(self, account_id: int, credentials: Mapping[str, str]) -> bytes:
        return self._fernet.encrypt(msgspec.json.encode(_Sealed(account_id, dict(credentials))))

    def open(self, account_id: int, sealed: bytes) -> dict[str, str]:
        """Raises VaultError when it was sealed under a key that is not here, was changed, or is another account's."""
        try:
            content = msgspec.json.decode(self._fernet.decrypt(sealed), type=_Sealed)
        except InvalidToken:
            raise VaultError(
                f"the credentials of account {account_id} were sealed under another master key, or were changed: "
                "configure that key too, or set the credentials again"
            ) from None
        if content.account_id != account_id:
            raise VaultError(f"the credentials stored for account {account_id} are those of another account")
        return content.credentials

    def seal_key(self, prefix: str, secret: bytes) -> bytes:
        """What an API key signs with; bound to that key."""
        return self._fernet.encrypt(msgspec.json.encode(_SealedKey(prefix, secret)))

    def open_key(self, prefix: str, sealed: bytes) -> bytes:
        """Raises VaultError as `open` does."""
        try:
            content = msgspec.json.decode(self._fernet.decrypt(sealed), type=_SealedKey)
        except (InvalidToken, msgspec.DecodeError):
            raise VaultError(
                f"the signing secret of API key tw_{prefix} was sealed under another master key, or was changed: "
                "configure that key too, or make another API key"
            ) from None
        if content.prefix != prefix:
            raise VaultError(f"the signing secret stored for API key tw_{prefix} is that of another key")
        return content.secret

    def rotate(self, sealed: bytes) -> bytes:
        """The same under the newest key."""
        try:
            return self._fernet.rotate(sealed)
        except InvalidToken:
            raise VaultError("sealed under a master key that is not configured any more, or changed") from None


def open_vault(master_keys: Sequence[str], state_directory: Path) -> Vault:
    """The vault of configured keys; without any, of a key kept in a file that is made at the first use."""
    return Vault(master_keys or [_kept_key(state_directory / KEY_FILE)])


def _kept_key(file: Path) -> str:
    file.parent.mkdir(parents=True, exist_ok=True)
    if not file.exists():
        with tempfile.NamedTemporaryFile("w", dir=file.parent, encoding="ascii") as stream:  # mode 0600
            stream.write(new_master_key())
            stream.flush()
            os.fsync(stream.fileno())  # what is sealed under it is worthless without it
            with contextlib.suppress(FileExistsError):  # another process was first, and its key is there whole
                os.link(stream.name, file)
    return _read_key(file)


def _read_key(file: Path) -> str:
    mode = stat.S_IMODE(file.stat().st_mode)
    if mode & 0o077:
        raise VaultError(f"{file} can be read by others (mode {mode:o}): chmod 600 it, and think of changing the key")
    return file.read_text(encoding="ascii").strip()
