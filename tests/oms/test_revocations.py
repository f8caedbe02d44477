"""Which tokens are revoked: by what they have in common, and by when they were made."""

from __future__ import annotations

import pytest

from oms.revocations import Kind, Revocation, Revocations
from oms.token_keys import new_signing_key
from oms.tokens import Claims, Read

KEY = new_signing_key()
S = 1_000_000_000


def token(iat: int = 100) -> Read:
    claims = Claims(sub="ann", kid=7, accounts=None, scope="read", iat=iat, exp=iat + 60, jti="j1")
    return Read(claims=claims, key=KEY)


def revoked(kind: Kind, name: str, at_s: float = 100) -> Revocations:
    return Revocations([Revocation(kind=kind, name=name, revoked_ns=int(at_s * S))])


def test_nothing_is_revoked_at_first() -> None:
    assert not Revocations().has(token())


@pytest.mark.parametrize(
    ("kind", "name"),
    [(Kind.TOKEN, "j1"), (Kind.SIGNING_KEY, KEY.kid), (Kind.API_KEY, "7"), (Kind.USER, "ann")],
    ids=["j1", "kid", "7", "ann"],  # not the key's, which is another one in each process
)
def test_what_tokens_have_in_common_revokes_them(kind: Kind, name: str) -> None:
    assert revoked(kind, name).has(token())
    assert not revoked(kind, f"{name}x").has(token())
    assert not any(revoked(other, name).has(token()) for other in Kind if other is not kind)


@pytest.mark.parametrize("kind", Kind)
def test_tokens_made_later_are_others_where_it_is_about_who_has_them(kind: Kind) -> None:
    name = {Kind.TOKEN: "j1", Kind.SIGNING_KEY: KEY.kid, Kind.API_KEY: "7", Kind.USER: "ann"}[kind]
    assert revoked(kind, name, 100.9).has(token(100)), "in the same second"
    assert revoked(kind, name, 100.9).has(token(101)) == (kind in {Kind.TOKEN, Kind.SIGNING_KEY})


def test_the_later_of_two_counts() -> None:
    rows = [
        Revocation(kind=Kind.USER, name="ann", revoked_ns=50 * S),
        Revocation(kind=Kind.API_KEY, name="7", revoked_ns=100 * S),
    ]
    assert Revocations(rows).has(token(100))
    assert not Revocations(rows).has(token(101))
