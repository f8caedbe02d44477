"""Signatures: the vectors of RFC 5869, and that nothing changed, old or repeated is accepted."""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oms import keys, signing
from oms.errors import OmsError
from oms.signing import NONCES_PER_KEY_MAX, WINDOW_MS, Nonces, Signed, hkdf, signed_text

NOW_MS = 1_790_000_000_000
SECRET = signing.secret_of("tw_0123456789ab_" + "0f" * 32)
NONCE = "0123456789abcdef"
PAYLOAD = b'{"account_id":1,"command":"send_order","payload":{"qty":"0.01"}}'


def signature(connection_id: str = "c1", ts: int = NOW_MS, nonce: str = NONCE, payload: bytes = PAYLOAD) -> Signed:
    unsigned = Signed("", ts, nonce, payload, connection_id)
    key = signing.commands_key(SECRET, connection_id)
    return unsigned._replace(sig=signing.sign(key, signed_text(unsigned)))


def check(signed: Signed, now_ms: int = NOW_MS, began_ms: int = 0) -> None:
    signing.check(SECRET, signed, now_ms, began_ms)


def reason(signed: Signed, now_ms: int = NOW_MS, began_ms: int = 0) -> Any:
    with pytest.raises(OmsError) as refused:
        check(signed, now_ms, began_ms)
    assert refused.value.code == "permission_denied"
    assert refused.value.details is not None
    return refused.value.details["reason"]


@pytest.mark.parametrize(
    ("secret", "salt", "info", "size", "made"),
    [
        (
            "0b" * 22, "000102030405060708090a0b0c", "f0f1f2f3f4f5f6f7f8f9", 42,
            "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865",
        ),
        (
            "0b" * 22, "", "", 42,
            "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8",
        ),
    ],
)  # fmt: skip
def test_the_vectors_of_rfc_5869(secret: str, salt: str, info: str, size: int, made: str) -> None:
    assert hkdf(bytes.fromhex(secret), bytes.fromhex(salt), bytes.fromhex(info), size).hex() == made


def test_a_signature_is_what_is_documented() -> None:
    """Written out once more, by the standard library alone: what a client in another language must come to."""

    def derived(secret: bytes, salt: bytes, info: bytes) -> bytes:
        extracted = hmac.new(salt or bytes(32), secret, hashlib.sha256).digest()
        return hmac.new(extracted, info + b"\x01", hashlib.sha256).digest()

    secret = derived(b"tw_0123456789ab_" + b"0f" * 32, b"", b"tickwire signing secret v1")
    key = derived(secret, b"c1", b"tickwire commands v1")
    made = hmac.new(key, b"1790000000000.0123456789abcdef." + PAYLOAD, hashlib.sha256).digest()
    assert signature().sig == base64.urlsafe_b64encode(made).rstrip(b"=").decode()
    assert signing.events_key(secret, "c1") == derived(secret, b"c1", b"tickwire events v1")


def test_every_key_connection_and_direction_has_a_key_of_its_own() -> None:
    secrets = [signing.secret_of(keys.make().text), SECRET]
    made = [
        derive(secret, connection_id)
        for secret in secrets
        for connection_id in ("", "c1", "c2")
        for derive in (signing.events_key, signing.commands_key)
    ]
    assert len(set(made)) == len(made) == 12


def test_what_is_signed_and_new_is_accepted() -> None:
    check(signature())
    check(signature(""), began_ms=NOW_MS)
    for off_ms in (-WINDOW_MS, WINDOW_MS):
        check(signature(ts=NOW_MS + off_ms))


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_any_changed_byte_is_refused(data: st.DataObject) -> None:
    """Of the payload, the signature, the nonce, the time or the connection: one byte, put in, taken out or changed."""
    good = signature()
    field = data.draw(st.sampled_from(["sig", "nonce", "payload", "connection_id"]))
    value = getattr(good, field)
    raw = bytearray(value if isinstance(value, bytes) else value.encode())
    at = data.draw(st.integers(0, len(raw) - 1))
    how = data.draw(st.sampled_from(["change", "add", "drop"]))
    if how == "change":
        raw[at] ^= data.draw(st.integers(1, 127))
    elif how == "add":
        raw.insert(at, data.draw(st.integers(32, 126)))
    else:
        del raw[at]
    changed: Any = bytes(raw) if isinstance(value, bytes) else raw.decode("latin-1")
    if changed != value:
        assert reason(good._replace(**{field: changed})) in {"signature_invalid", "nonce_invalid"}


@given(st.integers(-(2 * WINDOW_MS), 2 * WINDOW_MS))
def test_another_time_is_refused(by_ms: int) -> None:
    moved = signature()._replace(ts=NOW_MS + by_ms)
    if by_ms:
        assert reason(moved) == ("signature_invalid" if abs(by_ms) <= WINDOW_MS else "timestamp_out_of_window")


@pytest.mark.parametrize("ts", [NOW_MS - WINDOW_MS - 1, NOW_MS + WINDOW_MS + 1, 0, -1, 10**400])
def test_what_was_signed_at_another_time_is_too_old_or_too_new(ts: int) -> None:
    assert reason(signature()._replace(ts=ts)) == "timestamp_out_of_window"
    assert ts < -1 or ts > 10**300 or reason(signature(ts=ts)) == "timestamp_out_of_window"


def test_before_a_start_nobody_knows_which_nonces_were_used() -> None:
    """A connection does not outlive a start, so what names one need not be refused."""
    assert reason(signature(""), began_ms=NOW_MS + 1) == "timestamp_out_of_window"
    check(signature("c1"), began_ms=NOW_MS + 1)


@pytest.mark.parametrize(
    "nonce", ["", "short", "a" * 15, "a" * 65, "0123456789abcde.", "0123456789abcdef\n", "é" * 16, "a b" * 8]
)
def test_what_is_no_nonce_is_refused(nonce: str) -> None:
    assert reason(signature()._replace(nonce=nonce)) == "nonce_invalid"


@pytest.mark.parametrize("sig", ["", "é", "\ud800", "A" * 43, "A" * 10_000])
def test_what_is_no_signature_is_refused(sig: str) -> None:
    assert reason(signature()._replace(sig=sig)) == "signature_invalid"


def test_the_secret_of_another_key_signs_nothing_here() -> None:
    with pytest.raises(OmsError):
        signing.check(signing.secret_of(keys.make().text), signature(), NOW_MS, 0)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(1, 2), st.sampled_from("abc"), st.integers(-WINDOW_MS, WINDOW_MS), st.integers(0, 4_000))
    )
)
def test_no_nonce_is_let_through_twice_while_its_message_could_be(used: list[tuple[int, str, int, int]]) -> None:
    """Against a model that forgets nothing. `ts` is within the window, as `check` has seen to."""
    nonces, now_ms = Nonces(), NOW_MS
    until_ms: dict[tuple[int, str], int] = {}
    for api_key_id, nonce, off_ms, later_ms in used:
        now_ms += later_ms
        ts = now_ms + off_ms
        is_known = until_ms.get((api_key_id, nonce), 0) >= now_ms
        if is_known:
            with pytest.raises(OmsError, match="used before"):
                nonces.use(api_key_id, nonce, ts, now_ms)
        else:
            nonces.use(api_key_id, nonce, ts, now_ms)
            until_ms[api_key_id, nonce] = ts + WINDOW_MS
    nonces.use(3, "d", now_ms + 100_000, now_ms + 100_000)
    assert (len(nonces), len(nonces._used)) == (1, 1), "what could not be shown again is forgotten, and so are its keys"


def test_a_clock_that_is_set_back_lets_nothing_through_again() -> None:
    nonces, later_ms = Nonces(), NOW_MS + WINDOW_MS + 1
    nonces.use(1, "a", NOW_MS, NOW_MS)
    nonces.use(1, "b", later_ms, later_ms)
    for back_ms in (NOW_MS, NOW_MS + 1):
        with pytest.raises(OmsError) as refused:
            nonces.use(1, "a", NOW_MS, back_ms)
        assert (refused.value.details or {})["reason"] == "timestamp_out_of_window"
    nonces.use(1, "a", NOW_MS + 1, NOW_MS + 1)


def test_what_is_remembered_of_one_key_is_bounded_and_costs_no_other_key() -> None:
    nonces = Nonces()
    for number in range(NONCES_PER_KEY_MAX):
        nonces.use(1, str(number), NOW_MS, NOW_MS)
    with pytest.raises(OmsError) as refused:
        nonces.use(1, "more", NOW_MS, NOW_MS)
    assert (refused.value.code, refused.value.retry_after_ms) == ("rate_limited", WINDOW_MS)
    nonces.use(2, "more", NOW_MS, NOW_MS)
    nonces.use(1, "more", NOW_MS + WINDOW_MS + 1, NOW_MS + WINDOW_MS + 1)
    assert len(nonces) == 1
