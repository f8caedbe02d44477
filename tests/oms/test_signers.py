"""Whose signatures are checked with what, and that a message is accepted once."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from oms import keys, signing
from oms.auth import Auth
from oms.errors import OmsError
from oms.model import ApiKey, Principal, User
from oms.signers import Signers
from oms.signing import Signed, signed_text
from oms.token_keys import new_signing_key
from oms.tokens import Tokens
from oms.vault import Vault, new_master_key

NOW_MS = 1_790_000_000_000
MADE = keys.make()
ANN = Principal(user_id=1, user_name="ann", api_key_id=7)


class Room:
    """One key, at one moment."""

    def __init__(self) -> None:
        self.vault = Vault([new_master_key()])
        sealed = self.vault.seal_key(MADE.prefix, signing.secret_of(MADE.text))
        user = User(id=1, name="ann")
        self.key = ApiKey(id=7, user=user, prefix=MADE.prefix, hash=MADE.hash, created_ns=0, sealed_signing=sealed)
        self.auth = Auth(Tokens(new_signing_key(), started_s=0))
        self.auth.replace([self.key])
        self.now_ms = NOW_MS
        self.signers = Signers(self.auth, self.vault, lambda: self.now_ms * 1_000_000)

    def reason(self, signature: Signed) -> object:
        with pytest.raises(OmsError) as refused:
            self.signers.check(ANN, signature)
        return (refused.value.details or {}).get("reason", refused.value.code)


def signature(nonce: str = "n" * 16) -> Signed:
    unsigned = Signed("", NOW_MS, nonce, b"{}", "c1")
    key = signing.commands_key(signing.secret_of(MADE.text), "c1")
    return unsigned._replace(sig=signing.sign(key, signed_text(unsigned)))


def test_a_message_is_accepted_once() -> None:
    room = Room()
    room.signers.check(ANN, signature())
    assert room.reason(signature()) == "nonce_reused"
    room.signers.check(ANN, signature("m" * 16))


def test_what_was_signed_before_commands_are_carried_out_here_needs_a_connection() -> None:
    room = Room()
    room.now_ms += 1
    room.signers.begin()
    assert room.reason(signature()._replace(connection_id="")) == "timestamp_out_of_window"
    room.signers.check(ANN, signature())


def test_what_is_not_signed_right_uses_no_nonce_up() -> None:
    room = Room()
    assert room.reason(signature()._replace(payload=b"[]")) == "signature_invalid"
    assert len(room.signers.nonces) == 0
    room.signers.check(ANN, signature())


def test_events_are_signed_for_their_connection() -> None:
    sign = Room().signers.signer(ANN, "c1")
    key = signing.events_key(signing.secret_of(MADE.text), "c1")
    assert sign(b"text") == signing.sign(key, b"text")


def test_a_key_of_before_there_were_signatures_is_told_so() -> None:
    room = Room()
    for table in ([replace(room.key, sealed_signing=None)], []):
        room.auth.replace(table)
        assert room.reason(signature()) == "no_signing_secret"


def test_what_was_sealed_under_another_master_key_or_for_another_is_not_opened() -> None:
    room = Room()
    other = Vault([new_master_key()]).seal_key(MADE.prefix, b"secret")
    for sealed in (other, room.vault.seal_key("another", b"secret"), room.vault.seal(1, {"apiKey": "k"}), b"nothing"):
        room.auth.replace([replace(room.key, sealed_signing=sealed)])
        assert room.reason(signature()) == "engine_unavailable"


def test_a_secret_sealed_anew_is_the_same_and_shows_nowhere() -> None:
    room = Room()
    room.signers.check(ANN, signature())
    room.auth.replace([replace(room.key, sealed_signing=room.vault.rotate(room.key.sealed_signing or b""))])
    room.signers.check(ANN, signature("m" * 16))
    assert signing.secret_of(MADE.text).hex() not in repr(room.signers._opened)
    assert "secret" not in repr(room.signers._opened)
