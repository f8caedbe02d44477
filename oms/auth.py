"""Who asks, and what they may do: credentials become a principal, and a principal is let through or refused.

Holds the table of API keys in memory, so that nothing here waits; whoever changes keys hands in the new table. Must not
know a socket, a header or a database.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Final

import msgspec

from oms import keys
from oms.errors import OmsError
from oms.model import ApiKey, Permission, Principal, Role, Scope
from oms.revocations import Revocation, Revocations
from oms.tokens import Read, Token, Tokens

# What may be shown where. A URL ends up in logs and histories, and a subprotocol is echoed: no lasting secret there.
_KEYS_FROM: Final = frozenset({"x-api-key", "authorization", "message"})
_TOKENS_FROM: Final = frozenset({"authorization", "url", "subprotocol", "message"})
_ALL_SCOPES: Final = frozenset(Scope)
_TRADING: Final = frozenset({Role.ADMIN, Role.TRADER})


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a credential: a principal, or a code of the catalogue and a sentence.

    `accounts` (None: all) and `scopes` are what the credential carries of its key's rights: a token may carry less.
    """

    principal: Principal | None = None
    code: str = ""
    message: str = ""
    requests_per_s: int | None = None
    expires_ns: int | None = None  # of the key: a token opens a connection, and does not end it
    accounts: frozenset[int] | None = None
    scopes: frozenset[str] = _ALL_SCOPES
    shown: Read | None = None  # the token, when it was one

    @property
    def is_token(self) -> bool:
        return self.shown is not None


class Auth:
    """The keys that exist, and what they open."""

    def __init__(self, tokens: Tokens, *, clock_ns: Callable[[], int] = time.time_ns) -> None:
        self._tokens = tokens
        self._clock_ns = clock_ns
        self._by_prefix: dict[str, ApiKey] = {}
        self._by_id: dict[int, ApiKey] = {}
        self._revocations = Revocations()
        self._used_ns: dict[int, int] = {}
        self.version = 0  # of the table

    def replace(self, table: Iterable[ApiKey], revoked: Iterable[Revocation] = ()) -> None:
        """All keys and revoked tokens anew; who was admitted is looked at again by `renew`."""
        self._revocations = Revocations(revoked)
        self._by_id = {key.id: key for key in table}
        self._by_prefix = {key.prefix: key for key in self._by_id.values()}
        self.version += 1

    def key(self, api_key_id: int) -> ApiKey | None:
        """As it is stored by now."""
        return self._by_id.get(api_key_id)

    def take_used(self) -> dict[int, int]:
        """When each key was used last, of those used since the last call."""
        used, self._used_ns = self._used_ns, {}
        return used

    def authenticate(self, secret: str, place: str) -> Verdict:
        """Never raises. `place` is where it was found: x-api-key, authorization, url, subprotocol or message."""
        try:
            verdict = self._by_key(secret, place) if secret.startswith("tw_") else self._by_token(secret, place)
        except OmsError as error:
            return Verdict(code=error.code, message=error.message)
        assert verdict.principal is not None
        self._used_ns[verdict.principal.api_key_id] = self._clock_ns()
        return verdict

    def renew(self, verdict: Verdict) -> Verdict:
        """The same credential with what its key may do by now."""
        assert verdict.principal is not None
        try:
            key = self._by_id.get(verdict.principal.api_key_id)
            return self._admit(key, verdict.accounts, verdict.scopes, verdict.shown)
        except OmsError as error:
            return Verdict(code=error.code, message=error.message)

    def token(self, verdict: Verdict) -> Token:
        """A token with the rights of an API key. One that came of a token would make that live for ever."""
        assert verdict.principal is not None
        assert not verdict.is_token
        principal = verdict.principal
        key = self._by_id[principal.api_key_id]
        accounts = None if principal.is_admin else frozenset(principal.permissions)
        return self._tokens.issue(
            sub=principal.user_name, kid=key.id, accounts=accounts, scope=" ".join(sorted(key.scopes)),
            now_s=self._clock_ns() // 1_000_000_000,
        )  # fmt: skip

    def _by_key(self, text: str, place: str) -> Verdict:
        if place not in _KEYS_FROM:
            raise OmsError("invalid_api_key", "an API key does not belong here: get a token with GET /api/ws/token")
        key = self._by_prefix.get(keys.prefix_of(text) or "")
        if not keys.matches(text, key.hash if key else None):
            key = None
        return self._admit(key, None, _ALL_SCOPES)

    def _by_token(self, text: str, place: str) -> Verdict:
        if place not in _TOKENS_FROM:
            raise OmsError("invalid_api_key", "the API key is not valid")
        now_s = self._clock_ns() / 1e9
        read = self._tokens.read(text, now_s)
        claims = read.claims
        verdict = self._admit(self._by_id.get(claims.kid), claims.accounts, frozenset(claims.scope.split()), read)
        if place == "url":
            self._tokens.use_once(read, now_s)
        return verdict

    def _admit(
        self, key: ApiKey | None, accounts: frozenset[int] | None, scopes: frozenset[str], shown: Read | None = None
    ) -> Verdict:
        """`shown`: the token, when it was one."""
        if key is None or (shown is not None and shown.claims.sub != key.user.name):
            raise OmsError("invalid_api_key", "the API key is not valid")
        if shown is not None and self._revocations.has(shown):
            raise OmsError("token_expired", "the token is revoked")
        if key.revoked_ns is not None:
            raise OmsError("invalid_api_key", "the API key is revoked")
        if key.expires_ns is not None and key.expires_ns <= self._clock_ns():
            raise OmsError("token_expired", "the API key has expired")
        if key.user.disabled:
            raise OmsError("invalid_api_key", "the user of this API key is disabled")
        if not key.scopes & scopes:
            raise OmsError("permission_denied", "this API key is for nothing: it has no scope")
        return Verdict(
            principal=principal_of(key, accounts, key.scopes & scopes),
            requests_per_s=key.requests_per_s, expires_ns=key.expires_ns, accounts=accounts, scopes=scopes,
            shown=shown,
        )  # fmt: skip


def principal_of(key: ApiKey, accounts: frozenset[int] | None, scopes: frozenset[str]) -> Principal:
    """What a key may do, within these accounts (None: all) and scopes: a scope or a role can only take away."""
    trades = Scope.TRADE in scopes and key.user.role in _TRADING
    manages = Scope.RISK in scopes and key.user.role in _TRADING
    permissions = {
        account_id: msgspec.structs.replace(
            permission,
            can_read=permission.can_read and Scope.READ in scopes,
            can_trade=permission.can_trade and trades,
            can_close_position=permission.can_close_position and trades,
            can_risk_manage=permission.can_risk_manage and manages,
        )
        for account_id, permission in key.permissions.items()
        if accounts is None or account_id in accounts
    }
    is_admin = key.user.role is Role.ADMIN and Scope.ADMIN in scopes and accounts is None
    return Principal(
        user_id=key.user.id,
        user_name=key.user.name,
        api_key_id=key.id,
        is_admin=is_admin,
        may_publish=is_admin or (Scope.PUBLISH in scopes and key.user.role is not Role.VIEWER),
        permissions=permissions,
    )


def require_admin(principal: Principal) -> None:
    """Raises OmsError for anybody but an admin."""
    if not principal.is_admin:
        raise OmsError("permission_denied", "this needs the key of an admin, with the scope `admin`")


def require_publish(principal: Principal) -> None:
    """May tell signals and news. Raises OmsError."""
    if not principal.may_publish:
        raise OmsError("permission_denied", "this needs an API key with the scope `publish`")


def require_known(principal: Principal, account_id: int) -> None:
    """May do anything at all on the account: to who may not, it is not there."""
    if not principal.is_admin:
        _known(principal, account_id)


def require_read(principal: Principal, account_id: int, strategy_id: int | None = None) -> None:
    """May look at the account, and at this strategy of it when one is named; `may_see` filters lists."""
    _require(principal, account_id, strategy_id, "can_read", "read", whole=False)


def may_read(principal: Principal, account_id: int) -> bool:
    """Whether it may look at the account, or at a strategy of it."""
    try:
        require_read(principal, account_id)
    except OmsError:
        return False
    return True


def require_whole(principal: Principal, account_id: int) -> None:
    """May look at all of the account, whatever strategy it belongs to: at what it is worth, say."""
    _require(principal, account_id, None, "can_read", "read", whole=True)


def require_trade(principal: Principal, account_id: int, strategy_id: int | None) -> None:
    """May send, change and cancel orders of the strategy; None: of all of them."""
    _require(principal, account_id, strategy_id, "can_trade", "trade", whole=True)


def require_close(principal: Principal, account_id: int, strategy_id: int | None) -> None:
    """May close positions of the strategy, and take orders back; who may trade may do that too."""
    permission = principal.permissions.get(account_id)
    flag = "can_trade" if permission is not None and permission.can_trade else "can_close_position"
    _require(principal, account_id, strategy_id, flag, "close positions", whole=True)


def require_risk(principal: Principal, account_id: int) -> None:
    """May change the limits and the trading state of the account. Strategies have none of their own."""
    _require(principal, account_id, None, "can_risk_manage", "manage risk", whole=False)


def may_see(principal: Principal, account_id: int, strategy_id: int) -> bool:
    """Whether something of this account and strategy may be shown: otherwise it is as if it were not there."""
    if principal.is_admin:
        return True
    permission = principal.permissions.get(account_id)
    return permission is not None and permission.can_read and _covers(permission, strategy_id)


def strategies_of(principal: Principal, account_id: int) -> frozenset[int]:
    """The strategies of an account that a principal may see; none: all. Raises OmsError when it may see nothing."""
    require_read(principal, account_id)
    permission = principal.permissions.get(account_id)
    return frozenset() if principal.is_admin or permission is None else permission.strategies


def _covers(permission: Permission, strategy_id: int) -> bool:
    return not permission.strategies or strategy_id in permission.strategies


def _known(principal: Principal, account_id: int) -> Permission:
    permission = principal.permissions.get(account_id)
    # An account one has nothing to do with is not told from one that does not exist.
    if permission is None or not any(
        (permission.can_read, permission.can_trade, permission.can_close_position, permission.can_risk_manage)
    ):
        raise OmsError("account_not_found", "there is no such account", details={"account_id": account_id})
    return permission


def _require(
    principal: Principal, account_id: int, strategy_id: int | None, flag: str, verb: str, *, whole: bool
) -> None:
    """`whole`: without a strategy all of them are meant, and a key restricted to some is refused."""
    if principal.is_admin:
        return
    permission = _known(principal, account_id)
    if not getattr(permission, flag):
        raise OmsError(
            "permission_denied", f"this API key may not {verb} on this account", details={"account_id": account_id}
        )
    if strategy_id is None and whole and permission.strategies:
        raise OmsError(
            "strategy_permission_denied",
            "this API key is for some strategies only: name one of them",
            details={"account_id": account_id, "strategy_ids": sorted(permission.strategies)},
        )
    if strategy_id is not None and not _covers(permission, strategy_id):
        raise OmsError(
            "strategy_permission_denied",
            f"this API key may not {verb} with this strategy",
            details={"account_id": account_id, "strategy_id": strategy_id},
        )
