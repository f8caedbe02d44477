"""Credentials at rest: sealed, bound to their account, and sealed anew under another master key."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from oms.vault import KEY_FILE, Vault, VaultError, new_master_key, open_vault

CREDENTIALS = {"apiKey": "venue-key", "secret": "venue-secret"}


def test_what_is_sealed_opens_and_does_not_show() -> None:
    vault = Vault([new_master_key()])
    sealed = vault.seal(1, CREDENTIALS)
    assert b"venue" not in sealed
    assert vault.seal(1, CREDENTIALS) != sealed
    assert vault.open(1, sealed) == CREDENTIALS


def test_a_row_copied_to_another_account_does_not_open() -> None:
    vault = Vault([new_master_key()])
    with pytest.raises(VaultError, match="another account"):
        vault.open(2, vault.seal(1, CREDENTIALS))


def test_a_changed_row_does_not_open() -> None:
    vault = Vault([new_master_key()])
    sealed = bytearray(vault.seal(1, CREDENTIALS))
    sealed[40] ^= 1
    with pytest.raises(VaultError, match="were changed"):
        vault.open(1, bytes(sealed))
    with pytest.raises(VaultError, match="or changed"):
        vault.rotate(bytes(sealed))


def test_master_keys_are_changed_by_sealing_anew() -> None:
    old, new = new_master_key(), new_master_key()
    sealed = Vault([old]).seal(1, CREDENTIALS)
    assert Vault([new, old]).open(1, sealed) == CREDENTIALS
    rotated = Vault([new, old]).rotate(sealed)
    assert Vault([new]).open(1, rotated) == CREDENTIALS
    for vault, text in ((Vault([new]), sealed), (Vault([old]), rotated)):
        with pytest.raises(VaultError, match="another master key") as raised:
            vault.open(1, text)
        assert old not in str(raised.value)
        assert new not in str(raised.value)


@pytest.mark.parametrize("master_keys", [[], ["short"], ["é" * 44]])
def test_what_is_no_master_key_is_refused_unseen(master_keys: list[str]) -> None:
    with pytest.raises(VaultError, match="32 bytes") as raised:
        Vault(master_keys)
    assert "short" not in str(raised.value)
    assert raised.value.__suppress_context__


def test_without_a_configured_key_one_is_kept_for_its_owner_only(tmp_path: Path) -> None:
    state = tmp_path / "state"
    sealed = open_vault([], state).seal(1, CREDENTIALS)
    file = state / KEY_FILE
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert open_vault([], state).open(1, sealed) == CREDENTIALS
    assert [path.name for path in state.iterdir()] == [KEY_FILE]
    configured = open_vault([new_master_key()], state)
    with pytest.raises(VaultError, match="another master key"):
        configured.open(1, sealed)


def test_a_key_that_others_can_read_is_not_used(tmp_path: Path) -> None:
    open_vault([], tmp_path)
    (tmp_path / KEY_FILE).chmod(0o644)
    with pytest.raises(VaultError, match="mode 644"):
        open_vault([], tmp_path)


def test_the_signing_secret_of_another_key_does_not_open() -> None:
    vault = Vault([new_master_key()])
    sealed = vault.seal_key("p1", b"a secret")
    assert vault.open_key("p1", sealed) == b"a secret"
    assert vault.open_key("p1", vault.rotate(sealed)) == b"a secret"
    with pytest.raises(VaultError, match="another key"):
        vault.open_key("p2", sealed)
    for wrong in (vault.seal(1, CREDENTIALS), Vault([new_master_key()]).seal_key("p1", b"a secret"), b"x"):
        with pytest.raises(VaultError, match="tw_p1"):
            vault.open_key("p1", wrong)
