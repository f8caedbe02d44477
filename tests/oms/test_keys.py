"""API keys: made, parsed and compared."""

from __future__ import annotations

import hmac

import pytest

from oms import keys


def test_a_key_has_256_random_bits_and_finds_its_row() -> None:
    first, second = keys.make(), keys.make()
    assert first.text != second.text
    assert first.text.startswith(f"tw_{first.prefix}_")
    assert len(bytes.fromhex(first.text.rpartition("_")[2])) == 32
    assert keys.prefix_of(first.text) == first.prefix


def test_only_the_hash_is_kept() -> None:
    key = keys.make()
    assert keys.matches(key.text, key.hash)
    assert not keys.matches(keys.make().text, key.hash)
    assert key.text not in repr(key)
    assert key.hash.hex() not in repr(key)


@pytest.mark.parametrize("text", ["", "tw_", "tw_abc_def", "eyJh.eyJz.sig", "tw_0123456789ab_" + "g" * 64, "\x00é"])
def test_what_is_no_key_has_no_prefix(text: str) -> None:
    assert keys.prefix_of(text) is None


def test_a_key_that_is_not_there_is_compared_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the same function, on as many bytes: the time does not say that there is nothing to compare with."""
    compared: list[tuple[bytes, bytes]] = []

    def compare(a: bytes, b: bytes) -> bool:
        compared.append((a, b))
        return a == b

    monkeypatch.setattr(hmac, "compare_digest", compare)
    key = keys.make()
    assert keys.matches(key.text, key.hash)
    assert not keys.matches(key.text, None)
    assert [(len(a), len(b)) for a, b in compared] == [(32, 32), (32, 32)]


def test_a_key_made_before_is_the_same_again() -> None:
    made = keys.make()
    assert keys.again(made.text) == made
    assert keys.again("tw_no_key") is None
