"""Tokens: what they carry, how long they live, and that a URL uses them up."""

from __future__ import annotations

import base64
import hmac
import json
import time
from collections.abc import Callable, Mapping
from functools import partial

import jwt
import pytest
from msgspec.structs import replace

from oms import tokens as tokens_module
from oms.errors import OmsError
from oms.token_keys import EDDSA, HS256, OURS, KeyPair, TokenKey, new_file, new_signing_key, parse, public_file
from oms.tokens import TTL_S, USED_MAX, Claims, Token, Tokens

KEY = new_signing_key()


def now_s() -> int:
    """When the test runs: what is made at its start is not old at its end."""
    return int(time.time())


def tokens() -> Tokens:
    return Tokens(KEY, started_s=now_s() - 100)


def read(text: str, by: Tokens | None = None, at_s: float | None = None) -> Claims:
    return (by or tokens()).read(text, now_s() if at_s is None else at_s).claims


def refusal(text: str, by: Tokens | None = None, at_s: float | None = None) -> str:
    with pytest.raises(OmsError) as raised:
        read(text, by, at_s)
    assert raised.value.__suppress_context__ or raised.value.__context__ is None, "the reason may quote the token"
    return raised.value.code


def issue(age_s: int = 0) -> Token:
    return tokens().issue(sub="ann", kid=7, accounts=frozenset({2, 1}), scope="read trade", now_s=now_s() - age_s)


def test_a_token_says_for_whom_and_for_what() -> None:
    claims = read(issue().token)
    assert (claims.sub, claims.kid, claims.accounts, claims.scope) == ("ann", 7, frozenset({1, 2}), "read trade")
    assert claims.exp - claims.iat == TTL_S == 60
    assert claims.jti != read(issue().token).jti
    assert issue().token not in repr(issue())


def test_every_account_is_a_claim_too() -> None:
    token = tokens().issue(sub="root", kid=1, accounts=None, scope="admin", now_s=now_s())
    assert read(token.token).accounts is None


def test_an_old_token_is_told_from_a_wrong_one() -> None:
    assert refusal(issue(TTL_S).token) == "token_expired"


def part(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unsigned(claims: dict[str, object]) -> str:
    return ".".join(
        [*(part(json.dumps(each).encode()) for each in ({"alg": "none", "typ": "JWT", "kid": KEY.kid}, claims)), ""]
    )


def forged(payload: bytes, header: bytes = b'{"alg":"HS256","typ":"JWT"}') -> str:
    return ".".join(part(data) for data in (header, payload, bytes(32)))


CLAIMS = ("iss", "aud", "sub", "kid", "accounts", "scope", "iat", "exp", "jti")


def claims_now() -> dict[str, object]:
    made_s = now_s()
    return {
        "iss": OURS, "aud": OURS, "sub": "ann", "kid": 7, "accounts": [1], "scope": "read", "iat": made_s,
        "exp": made_s + 60, "jti": "x",
    }  # fmt: skip


def made(
    changes: Mapping[str, object],
    key: TokenKey = KEY,
    *,
    secret: bytes | None = None,
    algorithm: str = "",
    header: Mapping[str, object] = {},
) -> str:
    """A token with other claims; None: without this one."""
    claims = {**claims_now(), **changes}
    return jwt.encode(
        {name: claims[name] for name in claims if claims[name] is not None}, secret or key.pair.signing,
        algorithm=algorithm or key.algorithm, headers={"kid": key.kid, **header},
    )  # fmt: skip


NOT_OURS: dict[str, Callable[[], str]] = {
    "nothing": lambda: "",
    "words": lambda: "a.b.c",
    "api key": lambda: "tw_key",
    "letters": lambda: "é.é.é",
    "another's": lambda: made({}, new_signing_key()),
    "another's by our name": lambda: made({}, secret=new_signing_key().pair.signing),
    "another algorithm": lambda: made({}, secret=KEY.pair.signing * 2, algorithm="HS512"),
    "longer key": lambda: made({}, secret=KEY.pair.signing * 2),
    "unsigned": lambda: unsigned(claims_now()),
    "an extension": lambda: made({}, header={"crit": ["b64"], "b64": True}),
    "a key by number": lambda: made({}, header={"kid": "7"}),
    "without a key's name": lambda: jwt.encode(claims_now(), KEY.pair.signing, algorithm="HS256"),
    "another's name in it": lambda: made({"iss": "https://idp.example"}),
    "for somebody else": lambda: made({"aud": "another"}),
    "of a time to come": lambda: made({"iat": now_s() + 30}),
    "not yet good": lambda: made({"nbf": now_s() + 30}),
    "endless": lambda: made({"scope": "read " * 5_000}),
    "endless name": lambda: made({"jti": "x" * 129}),
    "forged without JSON": lambda: forged(b"no JSON"),
    "forged without claims": lambda: forged(b"[]"),
    "forged of JSON without end": lambda: forged(b"[" * 5_000),
    "header of JSON without end": lambda: forged(b"{}", header=b"[" * 5_000),
    "header that is no object": lambda: forged(b"{}", header=b"[]"),
    "wrong type": lambda: made({"kid": "7' OR 1"}),
    "huge number": lambda: forged(b"{}", header=b'{"kid":' + b"9" * 5_000 + b"}"),
    "undated": lambda: made({"iat": "long ago"}, new_signing_key()),
    **{f"no {gone}": partial(made, {gone: None}) for gone in CLAIMS},
}


@pytest.mark.parametrize("text", NOT_OURS.values(), ids=NOT_OURS)
def test_what_is_not_ours_is_refused(text: Callable[[], str]) -> None:
    by = tokens()
    assert read(made({}), by).sub == "ann", "one that is not changed is good"
    assert refusal(text()) == "invalid_api_key"
    assert refusal(text(), by) == "invalid_api_key", "though one with the same header was good"


@pytest.mark.parametrize("algorithm", [HS256, EDDSA])
def test_any_other_letter_is_another_token(algorithm: str) -> None:
    pair = parse(algorithm, new_file(algorithm).encode())
    key = TokenKey(kid="k", algorithm=algorithm, pair=pair)
    by = Tokens(key, started_s=0)
    good = made({}, key)
    assert read(good, by) == read(good, by)
    for at, letter in enumerate(good):
        other = good[:at] + ("B" if letter == "A" else "A") + good[at + 1 :]
        assert refusal(other, by) == "invalid_api_key", f"at {at}"
    unused_bits = good[:-1] + chr(ord(good[-1]) + 1)  # base64 of 32 or 64 bytes: the last letter has some
    assert refusal(unused_bits, by) == "invalid_api_key"
    other_alphabet = good.replace("-", "+").replace("_", "/")
    assert other_alphabet == good or refusal(other_alphabet, by) == "invalid_api_key"
    for longer in (good + "=", good + ".", good + "\n", " " + good, good.replace(".", "..", 1)):
        assert refusal(longer, by) == "invalid_api_key"


def test_a_signature_that_was_checked_is_remembered_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    key = TokenKey(kid="k", algorithm=EDDSA, pair=parse(EDDSA, new_file(EDDSA).encode()))
    by = Tokens(key, started_s=0)
    checked: list[str] = []

    def verify(text: str, key: TokenKey) -> None:
        checked.append(text)
        really(text, key)

    really = tokens_module.verify
    monkeypatch.setattr(tokens_module, "verify", verify)
    monkeypatch.setattr(tokens_module, "CHECKED_MAX", 2)
    first, second, third = (made({"jti": name}, key) for name in "abc")
    assert [read(first, by).jti, read(first, by).jti, checked] == ["a", "a", [first]]
    assert refusal(first, by, at_s=now_s() + 100) == "token_expired"
    for text in (second, third):
        read(text, by)
    read(first, by)
    assert checked == [first, second, third, first], "the oldest was forgotten"
    assert [(type(each), len(each)) for each in by._checked] == [(bytes, 32)] * 2, "of a long one no more"


@pytest.mark.parametrize("name", ["exp", "iat", "nbf"])
@pytest.mark.parametrize("moment", [10**400, 1 << 64, -1, 1.5, "soon"], ids=["1e400", "2^64", "-1", "1.5", "soon"])
def test_a_time_that_no_clock_says_is_refused_and_raises_nothing_else(name: str, moment: object) -> None:
    assert refusal(made({name: moment})) == "invalid_api_key"


def test_a_list_of_audiences_has_to_name_us() -> None:
    assert read(made({"aud": ["another", OURS]})).sub == "ann"
    assert refusal(made({"aud": ["another"]})) == "invalid_api_key"
    assert refusal(made({"aud": [OURS, 7]})) == "invalid_api_key"


def test_a_url_uses_a_token_up() -> None:
    reader, at_s = tokens(), now_s()
    first, second = (reader.read(issue().token, at_s) for _ in range(2))
    reader.use_once(first, at_s)
    reader.use_once(second, at_s + 59)
    for read_ in (first, second):
        with pytest.raises(OmsError, match="one connection"):
            reader.use_once(read_, at_s + 59)


def test_uses_are_forgotten_when_they_could_not_be_repeated() -> None:
    reader, at_s = tokens(), now_s()
    for second in range(200):
        text = reader.issue(sub="ann", kid=7, accounts=None, scope="read", now_s=at_s + second).token
        reader.use_once(reader.read(text, at_s + second), at_s + second)
    assert len(reader._used) == len(reader._order) <= TTL_S + 1


def test_what_is_remembered_of_urls_is_bounded() -> None:
    reader, at_s = tokens(), now_s()
    good = reader.read(issue().token, at_s)
    reader._used.update(("k", str(number)) for number in range(USED_MAX))
    with pytest.raises(OmsError) as raised:
        reader.use_once(good, at_s)
    assert (raised.value.code, raised.value.retry_after_ms) == ("rate_limited", 60_000)


def test_a_token_from_before_a_start_is_told_from_a_wrong_one() -> None:
    restarted = Tokens(new_signing_key(), started_s=now_s() - 5)
    assert refusal(issue(10).token, restarted) == "token_expired"
    assert refusal(issue(0).token, restarted) == "invalid_api_key"


def test_a_key_that_outlives_the_process_does_not_let_a_url_be_used_again() -> None:
    restarted = Tokens(KEY, started_s=now_s() - 5)
    before = restarted.read(issue(10).token, now_s())
    with pytest.raises(OmsError, match="before a start"):
        restarted.use_once(before, now_s())


# Keys that are configured

PRIVATE = new_file(EDDSA)
OLD = TokenKey(kid="2026-10", algorithm=EDDSA, pair=parse(EDDSA, PRIVATE.encode()))
NEW = TokenKey(kid="2026-11", algorithm=EDDSA, pair=parse(EDDSA, new_file(EDDSA).encode()))
IDP = TokenKey(
    kid="idp", algorithm=EDDSA, pair=parse(EDDSA, new_file(EDDSA).encode()), issuer="https://idp.example",
    audience="tickwire-eu", users=frozenset({"ann"}), leeway_s=5, lifetime_max_s=600,
)  # fmt: skip
PUBLIC_IDP = replace(IDP, pair=KeyPair(IDP.pair.verifying, None))
SAID = {"iss": IDP.issuer, "aud": IDP.audience}


def of(*keys: TokenKey) -> Tokens:
    return Tokens(*keys, KEY, started_s=0)


def signer(text: str) -> object:
    return jwt.get_unverified_header(text)["kid"]


def test_the_newest_key_signs_and_older_ones_are_read_until_they_are_taken_out() -> None:
    def issued(by: Tokens) -> str:
        return by.issue(sub="ann", kid=7, accounts=None, scope="read", now_s=now_s()).token

    old = issued(of(OLD))
    assert (signer(old), signer(issued(of(NEW, OLD))), signer(issued(of()))) == ("2026-10", "2026-11", KEY.kid)
    assert read(old, of(NEW, OLD)).sub == "ann"
    assert read(issued(of(NEW, OLD)), of(OLD, NEW)).sub == "ann", "whoever has both reads both"
    assert refusal(old, of(NEW)) == "invalid_api_key"


def test_a_retired_key_signs_nothing_and_opens_nothing() -> None:
    ended = replace(OLD, retires_ns=(now_s() + 10) * 1_000_000_000)
    both = of(ended, NEW)
    text = both.issue(sub="ann", kid=7, accounts=None, scope="read", now_s=now_s()).token
    assert signer(text) == "2026-10"
    assert refusal(text, both, now_s() + 10) == "token_expired"
    assert signer(both.issue(sub="ann", kid=7, accounts=None, scope="read", now_s=now_s() + 10).token) == "2026-11"


def test_another_issuer_speaks_for_its_users_and_its_audience() -> None:
    assert read(made(SAID, IDP), of(PUBLIC_IDP)).sub == "ann"
    assert read(made({**SAID, "aud": ["other", IDP.audience]}, IDP), of(PUBLIC_IDP)).sub == "ann"
    wrong: list[Mapping[str, object]] = [
        {"sub": "root"}, {"iss": OURS}, {"iss": "https://idp.example/"}, {"aud": OURS}, {"aud": [OURS]},
        {"exp": now_s() + 601}, {"iss": None}, {"aud": None},
    ]  # fmt: skip
    for each in wrong:
        assert refusal(made({**SAID, **each}, IDP), of(PUBLIC_IDP)) == "invalid_api_key", each
    own = of(PUBLIC_IDP).issue(sub="ann", kid=7, accounts=None, scope="read", now_s=now_s()).token
    assert signer(own) == KEY.kid, "what only checks tokens makes none"


def test_the_clock_of_an_issuer_may_be_off_a_little() -> None:
    for changes, code in (
        ({"iat": now_s() + 4}, None), ({"iat": now_s() + 10}, "invalid_api_key"),
        ({"nbf": now_s() + 4}, None), ({"nbf": now_s() + 10}, "invalid_api_key"),
        ({"iat": now_s() - 60, "exp": now_s() - 3}, None), ({"iat": now_s() - 60, "exp": now_s() - 6}, "token_expired"),
    ):  # fmt: skip
        text = made({**SAID, **changes}, IDP)
        if code is None:
            assert read(text, of(PUBLIC_IDP)).sub == "ann"
        else:
            assert refusal(text, of(PUBLIC_IDP)) == code


def test_a_public_key_is_no_secret() -> None:
    """The oldest trick: sign with what everybody may know, and say that it was HMAC (CVE-2015-9235)."""
    known = public_file(PRIVATE).encode()
    header = {"alg": HS256, "typ": "JWT", "kid": OLD.kid}
    start = ".".join(part(json.dumps(each).encode()) for each in (header, claims_now()))
    for secret in (known, known.strip(), OLD.pair.verifying.public_bytes_raw()):
        text = f"{start}.{part(hmac.digest(secret, start.encode(), 'sha256'))}"
        assert refusal(text, of(OLD)) == "invalid_api_key"
    assert refusal(made({}, KEY, header={"kid": OLD.kid}), of(OLD)) == "invalid_api_key"
