"""Tokens: what they carry, how long they live, and that a URL uses them up."""

from __future__ import annotations

import base64
import json
import time

import jwt
import pytest

from oms.errors import OmsError
from oms.tokens import TTL_S, Token, Tokens, new_signing_key

KEY = new_signing_key()
NOW_S = int(time.time())


def tokens(started_s: int = NOW_S - 100) -> Tokens:
    return Tokens(KEY, started_s=started_s)


def issue(now_s: int = NOW_S) -> Token:
    return tokens().issue(sub="ann", kid=7, accounts=frozenset({2, 1}), scope="read trade", now_s=now_s)


def test_a_token_says_for_whom_and_for_what() -> None:
    claims = tokens().read(issue().token)
    assert (claims.sub, claims.kid, claims.accounts, claims.scope) == ("ann", 7, frozenset({1, 2}), "read trade")
    assert claims.exp - claims.iat == TTL_S == 60
    assert claims.jti != tokens().read(issue().token).jti
    assert issue().token not in repr(issue())


def test_every_account_is_a_claim_too() -> None:
    token = tokens().issue(sub="root", kid=1, accounts=None, scope="admin", now_s=NOW_S)
    assert tokens().read(token.token).accounts is None


def test_an_old_token_is_told_from_a_wrong_one() -> None:
    with pytest.raises(OmsError) as raised:
        tokens().read(issue(NOW_S - TTL_S - 1).token)
    assert raised.value.code == "token_expired"


def unsigned(claims: dict[str, object]) -> str:
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()
             for part in ({"alg": "none", "typ": "JWT"}, claims)]  # fmt: skip
    return ".".join([*parts, ""])


CLAIMS = {"sub": "ann", "kid": 7, "accounts": [1], "scope": "read", "iat": NOW_S, "exp": NOW_S + 60, "jti": "x"}


NOT_OURS = {
    "nothing": "",
    "words": "a.b.c",
    "api key": "tw_key",
    "letters": "é.é.é",
    "another's": jwt.encode(CLAIMS, new_signing_key(), algorithm="HS256"),
    "another algorithm": jwt.encode(CLAIMS, KEY * 2, algorithm="HS512"),
    "longer key": jwt.encode(CLAIMS, KEY + KEY, algorithm="HS256"),
    "unsigned": unsigned(CLAIMS),
    "wrong type": jwt.encode({**CLAIMS, "kid": "7' OR 1"}, KEY, algorithm="HS256"),
    "undated": jwt.encode({**CLAIMS, "iat": "long ago"}, new_signing_key(), algorithm="HS256"),
    **{
        f"no {gone}": jwt.encode(
            {name: value for name, value in CLAIMS.items() if name != gone}, KEY, algorithm="HS256"
        )
        for gone in CLAIMS
    },
}


@pytest.mark.parametrize("text", NOT_OURS.values(), ids=NOT_OURS)
def test_what_is_not_ours_is_refused(text: str) -> None:
    with pytest.raises(OmsError) as raised:
        tokens().read(text)
    assert raised.value.code == "invalid_api_key"
    assert raised.value.__suppress_context__, "the reason may quote the token"


def test_a_url_uses_a_token_up() -> None:
    reader = tokens()
    first, second = reader.read(issue().token), reader.read(issue().token)
    reader.use_once(first, NOW_S)
    reader.use_once(second, NOW_S + 59)
    for claims in (first, second):
        with pytest.raises(OmsError, match="one connection"):
            reader.use_once(claims, NOW_S + 60)


def test_uses_are_forgotten_when_they_could_not_be_repeated() -> None:
    reader = tokens()
    for second in range(200):
        reader.use_once(reader.read(issue().token), NOW_S + second)
    assert len(reader._used) == len(reader._order) <= TTL_S + 1


def test_a_token_from_before_a_start_is_told_from_a_wrong_one() -> None:
    restarted = Tokens(new_signing_key(), started_s=NOW_S)
    for made_s, code in ((NOW_S - 1, "token_expired"), (NOW_S, "invalid_api_key")):
        with pytest.raises(OmsError) as raised:
            restarted.read(issue(made_s).token)
        assert raised.value.code == code
        assert raised.value.__suppress_context__
