"""Tokens: what they carry, how long they live, and that a URL uses them up."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Mapping
from functools import partial

import jwt
import pytest

from oms.errors import OmsError
from oms.tokens import TTL_S, Token, Tokens, new_signing_key

KEY = new_signing_key()


def now_s() -> int:
    """When the test runs: tokens are read by the real clock, and tests are collected long before."""
    return int(time.time())


def tokens() -> Tokens:
    return Tokens(KEY, started_s=now_s() - 100)


def issue(age_s: int = 0) -> Token:
    return tokens().issue(sub="ann", kid=7, accounts=frozenset({2, 1}), scope="read trade", now_s=now_s() - age_s)


def test_a_token_says_for_whom_and_for_what() -> None:
    claims = tokens().read(issue().token)
    assert (claims.sub, claims.kid, claims.accounts, claims.scope) == ("ann", 7, frozenset({1, 2}), "read trade")
    assert claims.exp - claims.iat == TTL_S == 60
    assert claims.jti != tokens().read(issue().token).jti
    assert issue().token not in repr(issue())


def test_every_account_is_a_claim_too() -> None:
    token = tokens().issue(sub="root", kid=1, accounts=None, scope="admin", now_s=now_s())
    assert tokens().read(token.token).accounts is None


def test_an_old_token_is_told_from_a_wrong_one() -> None:
    with pytest.raises(OmsError) as raised:
        tokens().read(issue(TTL_S + 1).token)
    assert raised.value.code == "token_expired"


def part(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unsigned(claims: dict[str, object]) -> str:
    return ".".join([*(part(json.dumps(each).encode()) for each in ({"alg": "none", "typ": "JWT"}, claims)), ""])


def forged(payload: bytes, header: bytes = b'{"alg":"HS256","typ":"JWT"}') -> str:
    return ".".join(part(data) for data in (header, payload, bytes(32)))


CLAIMS = ("sub", "kid", "accounts", "scope", "iat", "exp", "jti")


def claims_now() -> dict[str, object]:
    made_s = now_s()
    return {
        "sub": "ann", "kid": 7, "accounts": [1], "scope": "read", "iat": made_s, "exp": made_s + 60, "jti": "x",
    }  # fmt: skip


def made(changes: Mapping[str, object], key: bytes = KEY, algorithm: str = "HS256") -> str:
    """A token with other claims; None: without this one."""
    claims = {**claims_now(), **changes}
    return jwt.encode({name: claims[name] for name in claims if claims[name] is not None}, key, algorithm=algorithm)


NOT_OURS: dict[str, Callable[[], str]] = {
    "nothing": lambda: "",
    "words": lambda: "a.b.c",
    "api key": lambda: "tw_key",
    "letters": lambda: "é.é.é",
    "another's": lambda: made({}, new_signing_key()),
    "another algorithm": lambda: made({}, KEY * 2, "HS512"),
    "longer key": lambda: made({}, KEY * 2),
    "unsigned": lambda: unsigned(claims_now()),
    "forged without JSON": lambda: forged(b"no JSON"),
    "forged without claims": lambda: forged(b"[]"),
    "forged of JSON without end": lambda: forged(b"[" * 100_000),
    "header of JSON without end": lambda: forged(b"{}", header=b"[" * 100_000),
    "wrong type": lambda: made({"kid": "7' OR 1"}),
    "undated": lambda: made({"iat": "long ago"}, new_signing_key()),
    **{f"no {gone}": partial(made, {gone: None}) for gone in CLAIMS},
}


@pytest.mark.parametrize("text", NOT_OURS.values(), ids=NOT_OURS)
def test_what_is_not_ours_is_refused(text: Callable[[], str]) -> None:
    with pytest.raises(OmsError) as raised:
        tokens().read(text())
    assert raised.value.code == "invalid_api_key"
    assert raised.value.__suppress_context__, "the reason may quote the token"


def test_a_url_uses_a_token_up() -> None:
    reader, at_s = tokens(), now_s()
    first, second = reader.read(issue().token), reader.read(issue().token)
    reader.use_once(first, at_s)
    reader.use_once(second, at_s + 59)
    for claims in (first, second):
        with pytest.raises(OmsError, match="one connection"):
            reader.use_once(claims, at_s + 60)


def test_uses_are_forgotten_when_they_could_not_be_repeated() -> None:
    reader, at_s = tokens(), now_s()
    for second in range(200):
        reader.use_once(reader.read(issue().token), at_s + second)
    assert len(reader._used) == len(reader._order) <= TTL_S + 1


def test_a_token_from_before_a_start_is_told_from_a_wrong_one() -> None:
    restarted = Tokens(new_signing_key(), started_s=now_s() - 5)
    for age_s, code in ((10, "token_expired"), (0, "invalid_api_key")):
        with pytest.raises(OmsError) as raised:
            restarted.read(issue(age_s).token)
        assert raised.value.code == code
        assert raised.value.__suppress_context__
