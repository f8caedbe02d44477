"""Who can sign: the signing secrets of API keys, opened when they are needed, and the messages that were accepted.

Must not know a dialect, nor what a signed message asks for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from oms import signing
from oms.auth import Auth
from oms.errors import OmsError
from oms.model import Principal
from oms.signing import Nonces, Signature
from oms.vault import Vault, VaultError


class _Opened(NamedTuple):
    sealed: bytes
    secret: bytes

    def __repr__(self) -> str:
        return "_Opened(..)"


class Signers:
    """Of one process."""

    def __init__(self, auth: Auth, vault: Vault, clock_ns: Callable[[], int]) -> None:
        self.nonces = Nonces()
        self._auth = auth
        self._vault = vault
        self._clock_ns = clock_ns
        self._began_ms = clock_ns() // 1_000_000
        self._opened: dict[int, _Opened] = {}  # by API key: opening costs as much as a signature ten times over

    def begin(self) -> None:
        """Commands are carried out here from now on: which were until now, another process may know."""
        self._began_ms = self._clock_ns() // 1_000_000

    def check(self, principal: Principal, signature: Signature) -> None:
        """Raises OmsError unless this is a message of the principal's API key, here for the first time."""
        now_ms = self._clock_ns() // 1_000_000
        signing.check(self._secret(principal), signature, now_ms, self._began_ms)
        self.nonces.use(principal.api_key_id, signature.nonce, signature.ts, now_ms)

    def signer(self, principal: Principal, connection_id: str) -> Callable[[bytes], str]:
        """What signs events for the principal on a connection. Raises OmsError."""
        key = signing.events_key(self._secret(principal), connection_id)
        return lambda text: signing.sign(key, text)

    def _secret(self, principal: Principal) -> bytes:
        key = self._auth.key(principal.api_key_id)
        if key is None or key.sealed_signing is None:
            text = "this API key was made before keys could sign: make another with `tickwire key create`"
            raise signing.refusal("no_signing_secret", text)
        known = self._opened.get(key.id)
        if known is None or known.sealed != key.sealed_signing:
            try:
                secret = self._vault.open_key(key.prefix, key.sealed_signing)
            except VaultError as error:
                raise OmsError("engine_unavailable", str(error)) from None
            known = self._opened[key.id] = _Opened(key.sealed_signing, secret)
        return known.secret
