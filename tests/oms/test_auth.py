"""Who is admitted with what, and what a principal may do."""

from __future__ import annotations

import time

import msgspec
import pytest

from oms import keys
from oms.auth import (
    Auth,
    Verdict,
    may_read,
    may_see,
    require_admin,
    require_close,
    require_publish,
    require_read,
    require_risk,
    require_trade,
    strategies_of,
)
from oms.errors import OmsError
from oms.model import ApiKey, Permission, Principal, Role, Scope, User
from oms.revocations import Kind, Revocation
from oms.token_keys import new_signing_key
from oms.tokens import Tokens

NEW = keys.make()
USER = User(id=1, name="ann")
FULL = Permission(account_id=1, can_trade=True, can_close_position=True, can_risk_manage=True)
KEY = ApiKey(
    id=7, user=USER, prefix=NEW.prefix, hash=NEW.hash, created_ns=0, scopes=frozenset(Scope), permissions={1: FULL}
)


class Clock:
    """Starts now, because tokens are read by the real one."""

    def __init__(self) -> None:
        self.now_ns = time.time_ns()

    def __call__(self) -> int:
        return self.now_ns


def auth_of(*table: ApiKey, clock: Clock | None = None) -> Auth:
    auth = Auth(Tokens(new_signing_key(), started_s=0), clock_ns=clock or Clock())
    auth.replace(table)
    return auth


def key_with(**changes: object) -> ApiKey:
    return msgspec.structs.replace(KEY, **changes)


def admitted(verdict: Verdict) -> Principal:
    assert verdict.principal is not None, verdict
    return verdict.principal


def test_a_key_is_its_principal() -> None:
    principal = admitted(auth_of(KEY).authenticate(NEW.text, "x-api-key"))
    assert principal == Principal(user_id=1, user_name="ann", api_key_id=7, may_publish=True, permissions={1: FULL})


OTHER = keys.make()
FORGED = f"tw_{NEW.prefix}_{OTHER.text.rpartition('_')[2]}"  # the prefix of one, the secret of another


@pytest.mark.parametrize(
    "text",
    ["", "nonsense", "tw_", OTHER.text, FORGED, NEW.text + "0", NEW.text.upper()],
    ids=["nothing", "nonsense", "prefix", "another", "forged", "longer", "capitals"],
)
def test_what_is_no_key_is_refused_alike(text: str) -> None:
    verdict = auth_of(KEY).authenticate(text, "x-api-key")
    assert (verdict.principal, verdict.code, verdict.message) == (None, "invalid_api_key", "the API key is not valid")


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"revoked_ns": 1}, "invalid_api_key"),
        ({"expires_ns": 1}, "token_expired"),
        ({"user": User(id=1, name="ann", disabled=True)}, "invalid_api_key"),
        ({"scopes": frozenset()}, "permission_denied"),
    ],
)
def test_a_key_that_is_no_longer_good(changes: dict[str, object], code: str) -> None:
    verdict = auth_of(key_with(**changes)).authenticate(NEW.text, "x-api-key")
    assert (verdict.principal, verdict.code) == (None, code)
    assert auth_of(key_with(**changes)).authenticate(FORGED, "x-api-key").message == "the API key is not valid", (
        "only who knows the key is told what became of it"
    )


@pytest.mark.parametrize(
    ("place", "takes_key", "takes_token"),
    [
        ("x-api-key", True, False),
        ("authorization", True, True),
        ("url", False, True),
        ("subprotocol", False, True),
        ("message", True, True),
    ],
)
def test_what_may_be_shown_where(place: str, takes_key: bool, takes_token: bool) -> None:
    auth = auth_of(KEY)
    assert (auth.authenticate(NEW.text, place).principal is not None) == takes_key
    token = auth.token(auth.authenticate(NEW.text, "x-api-key")).token
    assert (auth.authenticate(token, place).principal is not None) == takes_token


def test_a_token_opens_one_connection_from_a_url_and_more_from_elsewhere() -> None:
    auth = auth_of(KEY)
    token = auth.token(auth.authenticate(NEW.text, "x-api-key")).token
    assert auth.authenticate(token, "message").principal
    assert auth.authenticate(token, "url").principal
    assert auth.authenticate(token, "url").code == "token_expired"
    assert auth.authenticate(token, "message").principal


def test_a_token_dies_with_its_key() -> None:
    auth = auth_of(KEY)
    token = auth.token(auth.authenticate(NEW.text, "x-api-key")).token
    auth.replace([key_with(revoked_ns=1)])
    assert auth.authenticate(token, "message").code == "invalid_api_key"
    auth.replace([])
    assert auth.authenticate(token, "message").code == "invalid_api_key"


def test_a_token_carries_no_more_than_its_key_had() -> None:
    auth = auth_of(KEY)
    token = auth.token(auth.authenticate(NEW.text, "x-api-key")).token
    auth.replace([key_with(permissions={1: FULL, 2: Permission(account_id=2)})])
    verdict = auth.authenticate(token, "message")
    assert set(admitted(verdict).permissions) == {1}
    assert set(admitted(auth.renew(verdict)).permissions) == {1}
    assert set(admitted(auth.authenticate(NEW.text, "message")).permissions) == {1, 2}


def test_a_token_does_not_make_another() -> None:
    auth = auth_of(KEY)
    token = auth.token(auth.authenticate(NEW.text, "x-api-key")).token
    with pytest.raises(AssertionError):
        auth.token(auth.authenticate(token, "authorization"))


def test_who_was_admitted_is_looked_at_again() -> None:
    clock = Clock()
    auth = auth_of(key_with(expires_ns=clock.now_ns + 1), clock=clock)
    verdict = auth.authenticate(NEW.text, "x-api-key")
    assert auth.renew(verdict) == verdict
    clock.now_ns += 1
    assert auth.renew(verdict).code == "token_expired"
    auth.replace([key_with(permissions={})])
    assert admitted(auth.renew(verdict)).permissions == {}
    auth.replace([])
    assert auth.renew(verdict).code == "invalid_api_key"


def test_uses_are_noted_once() -> None:
    clock = Clock()
    auth = auth_of(KEY, clock=clock)
    assert auth.take_used() == {}
    auth.authenticate(FORGED, "x-api-key")
    assert auth.take_used() == {}
    auth.authenticate(NEW.text, "x-api-key")
    assert auth.take_used() == {7: clock.now_ns}
    assert auth.take_used() == {}


@pytest.mark.parametrize(
    ("role", "scopes", "expected"),
    [
        (Role.TRADER, {Scope.READ, Scope.TRADE, Scope.RISK}, FULL),
        (Role.TRADER, {Scope.READ}, Permission(account_id=1)),
        (Role.TRADER, {Scope.TRADE}, Permission(account_id=1, can_read=False, can_trade=True, can_close_position=True)),
        (Role.VIEWER, set(Scope), Permission(account_id=1)),
        (Role.PUBLISHER, set(Scope), Permission(account_id=1)),
        (Role.ADMIN, {Scope.RISK}, Permission(account_id=1, can_read=False, can_risk_manage=True)),
    ],
)
def test_scopes_and_roles_take_away(role: Role, scopes: set[Scope], expected: Permission) -> None:
    key = key_with(user=User(id=1, name="ann", role=role), scopes=frozenset(scopes))
    principal = admitted(auth_of(key).authenticate(NEW.text, "x-api-key"))
    assert principal.permissions == {1: expected}
    assert not principal.is_admin


def test_an_admin_needs_the_scope_too() -> None:
    admin = User(id=1, name="root", role=Role.ADMIN)
    for scopes, is_admin in ((frozenset({Scope.READ}), False), (frozenset({Scope.ADMIN}), True)):
        principal = admitted(auth_of(key_with(user=admin, scopes=scopes)).authenticate(NEW.text, "x-api-key"))
        assert principal.is_admin == is_admin
    assert not admitted(auth_of(KEY).authenticate(NEW.text, "x-api-key")).is_admin, "a trader is none with any scope"
    require_admin(principal)
    for require in (require_read, require_trade, require_close):
        require(principal, 99, None)
    assert may_read(principal, 99)
    require_risk(principal, 99)
    assert may_see(principal, 99, 0)


@pytest.mark.parametrize(
    ("role", "scopes", "may"),
    [
        (Role.PUBLISHER, {Scope.PUBLISH}, True),
        (Role.PUBLISHER, {Scope.READ}, False),
        (Role.TRADER, {Scope.READ, Scope.TRADE}, False),
        (Role.TRADER, {Scope.PUBLISH}, True),
        (Role.VIEWER, set(Scope), False),
        (Role.ADMIN, {Scope.READ}, False),
        (Role.ADMIN, {Scope.ADMIN}, True),
    ],
)
def test_who_may_publish(role: Role, scopes: set[Scope], may: bool) -> None:
    key = key_with(user=User(id=1, name="ann", role=role), scopes=frozenset(scopes))
    principal = admitted(auth_of(key).authenticate(NEW.text, "x-api-key"))
    assert principal.may_publish == may
    if may:
        require_publish(principal)
    else:
        with pytest.raises(OmsError, match="scope `publish`"):
            require_publish(principal)


def principal_with(permission: Permission | None) -> Principal:
    return Principal(user_id=1, user_name="a", api_key_id=7, permissions={1: permission} if permission else {})


CHECKS = {"read": require_read, "trade": require_trade, "close": require_close}


@pytest.mark.parametrize(
    ("permission", "account_id", "strategy_id", "refused"),
    [
        (None, 1, 0, dict.fromkeys(CHECKS, "account_not_found")),
        (Permission(account_id=1, can_read=False), 1, 0, dict.fromkeys(CHECKS, "account_not_found")),
        (FULL, 2, 0, dict.fromkeys(CHECKS, "account_not_found")),
        (FULL, 1, 5, {}),
        (FULL, 1, None, {}),
        (Permission(account_id=1), 1, 0, {"trade": "permission_denied", "close": "permission_denied"}),
        (Permission(account_id=1, can_read=False, can_close_position=True), 1, 0,
         {"read": "permission_denied", "trade": "permission_denied"}),
        (Permission(account_id=1, can_trade=True), 1, 0, {}),
        (Permission(account_id=1, can_trade=True, strategies=frozenset({3})), 1, 3, {}),
        (Permission(account_id=1, can_trade=True, strategies=frozenset({3})), 1, 0,
         dict.fromkeys(CHECKS, "strategy_permission_denied")),
        (Permission(account_id=1, can_trade=True, strategies=frozenset({3})), 1, None,
         {"trade": "strategy_permission_denied", "close": "strategy_permission_denied"}),
    ],
)  # fmt: skip
def test_permissions(
    permission: Permission | None, account_id: int, strategy_id: int | None, refused: dict[str, str]
) -> None:
    principal = principal_with(permission)
    found = {}
    for name, require in CHECKS.items():
        try:
            require(principal, account_id, strategy_id)
        except OmsError as error:
            found[name] = error.code
    assert found == refused


def test_risk_and_administration() -> None:
    require_risk(principal_with(FULL), 1)
    for permission, code in ((Permission(account_id=1), "permission_denied"), (None, "account_not_found")):
        with pytest.raises(OmsError) as raised:
            require_risk(principal_with(permission), 1)
        assert raised.value.code == code
    with pytest.raises(OmsError, match="admin"):
        require_admin(principal_with(FULL))


def test_what_may_not_be_seen_is_as_if_it_were_not_there() -> None:
    restricted = principal_with(Permission(account_id=1, strategies=frozenset({3})))
    assert [may_see(restricted, 1, 3), may_see(restricted, 1, 0), may_see(restricted, 2, 3)] == [True, False, False]
    assert not may_see(principal_with(Permission(account_id=1, can_read=False, can_trade=True)), 1, 0)


def test_the_strategies_that_may_be_seen_are_those_of_the_key_or_all() -> None:
    restricted = principal_with(Permission(account_id=1, strategies=frozenset({3})))
    assert strategies_of(restricted, 1) == {3}
    admin = Principal(user_id=1, user_name="root", api_key_id=1, is_admin=True)
    assert strategies_of(principal_with(FULL), 1) == strategies_of(admin, 1) == frozenset()
    with pytest.raises(OmsError, match="no such account"):
        strategies_of(restricted, 2)


@pytest.mark.parametrize(
    ("kind", "name", "is_ended"),
    [
        (Kind.TOKEN, "", True), (Kind.TOKEN, "another", False), (Kind.SIGNING_KEY, "", True),
        (Kind.SIGNING_KEY, "another", False), (Kind.API_KEY, "7", True), (Kind.API_KEY, "8", False),
        (Kind.USER, "ann", True), (Kind.USER, "bob", False),
    ],
)  # fmt: skip
def test_a_revoked_token_opens_nothing_and_ends_what_it_opened(kind: Kind, name: str, is_ended: bool) -> None:
    clock = Clock()
    auth = auth_of(KEY, clock=clock)
    token = auth.token(auth.authenticate(NEW.text, "x-api-key")).token
    verdict = auth.authenticate(token, "message")
    assert verdict.shown is not None
    ours = {Kind.TOKEN: verdict.shown.claims.jti, Kind.SIGNING_KEY: verdict.shown.key.kid}.get(kind, "")
    auth.replace([KEY], [Revocation(kind=kind, name=name or ours, revoked_ns=clock.now_ns)])
    expected = ("token_expired", "the token is revoked") if is_ended else ("", "")
    for each in (auth.renew(verdict), auth.authenticate(token, "message")):
        assert (each.code, each.message) == expected
    assert auth.authenticate(NEW.text, "x-api-key").principal, "the key itself is another matter"
    clock.now_ns += 1_000_000_000
    later = auth.authenticate(auth.token(auth.authenticate(NEW.text, "x-api-key")).token, "message")
    assert (later.code == "") == (kind is not Kind.SIGNING_KEY or not is_ended)


def test_a_token_speaks_for_the_user_of_its_key_and_nobody_else() -> None:
    auth = auth_of(KEY)
    claims = {"sub": "bob", "kid": 7, "accounts": frozenset({1}), "scope": "read"}
    text = auth._tokens.issue(**claims, now_s=time.time_ns() // 1_000_000_000).token  # type: ignore[arg-type]  # a table of several types
    assert auth.authenticate(text, "message").code == "invalid_api_key"
