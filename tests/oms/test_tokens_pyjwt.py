"""What `oms.tokens` checks itself is what PyJWT checks: the same tokens are good for both, with the same claims.

Where we are stricter on purpose, PyJWT is asked only whether it agrees with what we accept: it reads a time that is no
whole number (RFC 7519 allows them), one that no clock says, and base64 with padding (RFC 7515 section 2 forbids it).
"""

from __future__ import annotations

import base64
import datetime
import hashlib
import hmac
import json
import re
from collections.abc import Callable
from typing import Any, Final, NamedTuple
from unittest import mock

import jwt
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec.structs import replace

from oms.errors import OmsError
from oms.token_keys import EDDSA, HS256, TokenKey, new_file, new_signing_key, parse
from oms.tokens import Claims, Tokens

NOW_S: Final = 1_770_474_600
DAYS: Final = 86_400
REQUIRED: Final = ["iss", "aud", "sub", "iat", "exp", "jti"]
SECRET: Final = replace(new_signing_key(), kid="secret")
PAIR: Final = TokenKey(
    kid="pair", algorithm=EDDSA, pair=parse(EDDSA, new_file(EDDSA).encode()), issuer="https://idp.example",
    audience="tickwire-eu", leeway_s=5,
)  # fmt: skip
KEYS: Final = {key.kid: key for key in (SECRET, PAIR)}
STRANGERS: Final = {
    SECRET.kid: new_signing_key().pair.signing,
    PAIR.kid: parse(EDDSA, new_file(EDDSA).encode()).signing,
}
ALGORITHMS: Final = ["none", HS256, "HS384", "HS512", EDDSA, "hs256"]
MISSING: Final = object()
LETTERS: Final = "ABCZabcz019-_+/=. \n\u00e9"

Says = dict[str, Any]


class Then(datetime.datetime):
    """A clock that stands."""

    @classmethod
    def now(cls, tz: datetime.tzinfo | None = None) -> Then:
        return cls.fromtimestamp(NOW_S, tz)


def ours(text: str, by: Tokens) -> tuple[Claims | None, str]:
    """What a token says to us, or the code of why nothing."""
    try:
        return by.read(text, NOW_S).claims, ""
    except OmsError as error:
        return None, error.code


def theirs(text: str) -> tuple[Says | None, str]:
    """The same of PyJWT, which is told what the key says; else the name of why nothing."""
    try:
        key = KEYS.get(jwt.get_unverified_header(text).get("kid", ""))
        if key is None:
            return None, "no such key"
        with mock.patch.object(jwt.api_jwt, "datetime", Then):
            said: Says = jwt.decode(
                text, key.pair.verifying, algorithms=[key.algorithm], audience=key.audience, issuer=key.issuer,
                leeway=key.leeway_s, options={"require": REQUIRED},
            )  # fmt: skip
    except (jwt.InvalidTokenError, ValueError) as error:
        return None, type(error).__name__
    return said, ""


def part(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Made(NamedTuple):
    """What a token is made of."""

    key: TokenKey
    changes: Says
    algorithm: str
    is_strangers: bool
    told: str = ""  # the algorithm that the header tells, unless it is the one

    def text(self) -> str:
        """Signed by that algorithm, whether the key is for it or not."""
        said = {
            "iss": self.key.issuer, "aud": self.key.audience, "sub": "ann", "kid": 7, "accounts": [1, 2],
            "scope": "read trade", "iat": NOW_S - 5, "exp": NOW_S + 60, "jti": "x", **self.changes,
        }  # fmt: skip
        header = {"alg": self.told or self.algorithm, "typ": "JWT", "kid": self.key.kid}
        claims = {name: each for name, each in said.items() if each is not MISSING}
        start = f"{part(json.dumps(header).encode())}.{part(json.dumps(claims).encode())}"
        return f"{start}.{part(self._signature(start.encode()))}"

    def _signature(self, start: bytes) -> bytes:
        signing = STRANGERS[self.key.kid] if self.is_strangers else self.key.pair.signing
        if self.algorithm == "none":
            return b""
        if self.algorithm == EDDSA and self.key is PAIR:
            return bytes(signing.sign(start))
        secret = signing if self.key is SECRET else self.key.pair.verifying.public_bytes_raw()
        return hmac.digest(secret, start, getattr(hashlib, f"sha{self.algorithm[2:]}", hashlib.sha256))


def moments(*, early_s: int, late_s: int) -> st.SearchStrategy[int]:
    """Times about now: those at the edges, with and without leeway, first of all."""
    edges = [NOW_S + off_s for off_s in range(-7, 8)]
    return st.sampled_from(edges) | st.integers(NOW_S + early_s, NOW_S + late_s)


STRINGS: Final = st.sampled_from(["", SECRET.issuer, PAIR.issuer, PAIR.audience, "tickwire "])
READABLE: Final = st.fixed_dictionaries(
    {},
    optional={
        "iat": moments(early_s=-DAYS, late_s=DAYS),
        "exp": moments(early_s=-DAYS, late_s=DAYS),
        "nbf": moments(early_s=-DAYS, late_s=DAYS),
        "iss": STRINGS,
        "aud": STRINGS | st.lists(STRINGS, max_size=3),
        "sub": st.text(max_size=5),
    },
)
ANY: Final = st.sampled_from([MISSING, None, True, 0, -1, 1.5, 1 << 60, float("inf"), "", "12", [], [3], {}])
ODD: Final = st.dictionaries(st.sampled_from([*REQUIRED, "nbf"]), ANY, min_size=1, max_size=2)


def tokens(changes: st.SearchStrategy[Says]) -> st.SearchStrategy[Made]:
    return st.sampled_from([*KEYS.values()]).flatmap(
        lambda key: st.builds(
            Made,
            st.just(key),
            changes,
            # By far the most as it should be, or nothing else would ever be looked at.
            st.sampled_from([key.algorithm] * 12 + ALGORITHMS),
            st.sampled_from([False] * 9 + [True]),
            st.sampled_from([""] * 12 + ALGORITHMS),
        )
    )


@given(made=tokens(READABLE))
@example(made=Made(SECRET, {}, HS256, is_strangers=False))
@example(made=Made(PAIR, {}, EDDSA, is_strangers=False))
@example(made=Made(PAIR, {}, HS256, is_strangers=False))
@example(made=Made(SECRET, {}, "none", is_strangers=False))
@example(made=Made(SECRET, {}, HS256, is_strangers=False, told="none"))
@example(made=Made(SECRET, {}, HS256, is_strangers=False, told="HS512"))
@example(made=Made(PAIR, {}, EDDSA, is_strangers=False, told=HS256))
@example(made=Made(SECRET, {"exp": NOW_S}, HS256, is_strangers=False))
@example(made=Made(PAIR, {"exp": NOW_S - 5}, EDDSA, is_strangers=False))
@example(made=Made(PAIR, {"nbf": NOW_S + 5}, EDDSA, is_strangers=False))
@example(made=Made(PAIR, {"nbf": NOW_S + 6}, EDDSA, is_strangers=False))
@example(made=Made(PAIR, {}, EDDSA, is_strangers=True))
def test_a_token_is_good_for_us_when_it_is_for_pyjwt(made: Made) -> None:
    text, by = made.text(), Tokens(*KEYS.values(), started_s=0)
    said, wrong = theirs(text)
    for _ in range(2):  # what is remembered of the first time changes nothing
        claims, code = ours(text, by)
        assert (claims is None) == (said is None), (code, wrong)
        if claims is None or said is None:
            assert code == "invalid_api_key" or (code == "token_expired" and made.changes.get("exp", NOW_S) <= NOW_S)
        else:
            assert (claims.sub, claims.iat, claims.exp, claims.jti, claims.nbf) == (
                *(said[name] for name in ("sub", "iat", "exp", "jti")),
                said.get("nbf", 0),
            )


@given(made=tokens(ODD))
@example(made=Made(SECRET, {"nbf": None}, HS256, is_strangers=False))
def test_what_we_read_of_odd_claims_is_good_for_pyjwt_too(made: Made) -> None:
    text = made.text()
    claims, code = ours(text, Tokens(*KEYS.values(), started_s=0))
    assert code in ("", "invalid_api_key", "token_expired")
    if claims is not None:
        assert theirs(text)[0] is not None


def replaced(text: str, at: int, letter: str) -> str:
    return text[:at] + letter + text[at + 1 :]


def inserted(text: str, at: int, letter: str) -> str:
    return text[:at] + letter + text[at:]


def cut(text: str, at: int, _letter: str) -> str:
    return text[:at]


def removed(text: str, at: int, _letter: str) -> str:
    return text[:at] + text[at + 1 :]


GOOD: Final = {key.kid: Made(key, {}, key.algorithm, is_strangers=False).text() for key in KEYS.values()}


@pytest.mark.parametrize("kid", GOOD)
@given(
    change=st.sampled_from([replaced, inserted, removed, cut]),
    from_end=st.booleans(),
    off=st.integers(0, 400),
    letter=st.sampled_from(LETTERS),
)
def test_a_token_with_a_letter_changed_is_good_for_both_or_for_neither(
    kid: str, change: Callable[[str, int, str], str], from_end: bool, off: int, letter: str
) -> None:
    good, by = GOOD[kid], Tokens(*KEYS.values(), started_s=0)
    assert ours(good, by)[0] is not None
    at = min(off, len(good))
    text = change(good, len(good) - at if from_end else at, letter)
    is_padded = re.search(r"=(\.|$)", text) is not None
    said = theirs(text)[0]
    for reader in (by, Tokens(*KEYS.values(), started_s=0)):  # one has read the good one, the other nothing
        claims = ours(text, reader)[0]
        assert claims is None if is_padded else (claims is None) == (said is None)
        assert claims is None or text == good


@given(garbage=st.text(LETTERS, max_size=60) | st.text(max_size=20))
def test_what_is_no_token_is_none_for_both(garbage: str) -> None:
    assert ours(garbage, Tokens(*KEYS.values(), started_s=0)) == (None, "invalid_api_key")
    assert theirs(garbage)[0] is None


def test_pyjwt_reads_what_we_are_strict_about() -> None:
    """Else the strictness would need no telling."""
    by = Tokens(*KEYS.values(), started_s=0)
    padded = GOOD["secret"] + "=" * (-len(GOOD["secret"].rpartition(".")[2]) % 4)
    odd: list[Says] = [{"exp": NOW_S + 60.5}, {"exp": 1 << 60}, {"iat": -1}]
    for text in (padded, *(Made(SECRET, changes, HS256, is_strangers=False).text() for changes in odd)):
        assert theirs(text)[0] is not None
        assert ours(text, by) == (None, "invalid_api_key")
