"""Who is on the other side: credentials out of a request, the door they open, and how often a key may ask.

Holds the order in which credentials are looked for and what is said when they are no good. Must not know how a
credential is checked, that is the authenticator's, nor a dialect or a socket. No secret leaves this module but to it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, Protocol

import structlog

from gateway.errors import CODES, TickwireError
from gateway.net.bucket import TokenBucket
from gateway.net.head import Refusal

if TYPE_CHECKING:
    from gateway.config import AuthConfig
    from gateway.net.head import Head

log = structlog.get_logger(__name__)

Place = Literal["x-api-key", "authorization", "url", "subprotocol", "message"]

SUBPROTOCOL: Final = "tickwire.stream"  # of /v1/stream; beside it a browser can offer `bearer.<jwt>`
CHALLENGE: Final = ("WWW-Authenticate", "Bearer")  # HTTP wants it with every 401
_BEARER_PROTOCOL: Final = "bearer."
_RETRY_AFTER_S_MAX: Final = 3600.0


class Principal(Protocol):
    """Who asks. What it may do is a matter between it and the OMS."""

    @property
    def user_name(self) -> str: ...
    @property
    def api_key_id(self) -> int: ...
    @property
    def is_admin(self) -> bool: ...
    @property
    def permissions(self) -> Mapping[int, Any]: ...


class Verdict(Protocol):
    """What became of a credential: a principal, or a code of the catalogue and a sentence."""

    @property
    def principal(self) -> Principal | None: ...
    @property
    def code(self) -> str: ...
    @property
    def message(self) -> str: ...
    @property
    def requests_per_s(self) -> int | None: ...
    @property
    def expires_ns(self) -> int | None: ...
    @property
    def is_token(self) -> bool: ...


class Token(Protocol):
    """A token just made."""

    @property
    def token(self) -> str: ...
    @property
    def expires_in_s(self) -> int: ...


class Authenticator(Protocol):
    """Checks credentials. Synchronous, and never raises for what a peer can send."""

    @property
    def version(self) -> int:
        """Another number whenever what a key may do can have changed."""

    def authenticate(self, secret: str, place: Place) -> Verdict:
        """What this opens, shown here."""

    # It gets back what it gave, and only it knows more of that than a Verdict says: hence Any.

    def renew(self, verdict: Any) -> Verdict:
        """What the same credential opens by now."""

    def token(self, verdict: Any) -> Token:
        """A token with the rights of an API key; not for a verdict that came of a token."""


class Credential(NamedTuple):
    """A secret and where it was found."""

    secret: str
    place: Place

    def __repr__(self) -> str:
        return f"Credential(place={self.place!r})"


def take_credential(head: Head, subprotocol: str | None = SUBPROTOCOL) -> Credential | None:
    """The first credential of a handshake, in the order of the protocol; none of them stays in the head.

    Settles the subprotocol too: a browser that offered some gives up unless one of them is answered. `subprotocol`: of
    the dialect that is going to be spoken, None when that is not known yet.
    """
    found = _of_headers(head.headers)
    for name in ("x-api-key", "authorization"):
        head.headers.popall(name, None)
    in_url = head.query.pop("token", None)
    offered = head.tokens("Sec-WebSocket-Protocol")
    bearer = next((each for each in offered if each.startswith(_BEARER_PROTOCOL)), None)
    head.subprotocol = subprotocol if subprotocol in offered else bearer
    if found is None and in_url is not None:
        found = Credential(in_url, "url")
    if found is None and bearer is not None:
        found = Credential(bearer.removeprefix(_BEARER_PROTOCOL), "subprotocol")
    return found


def _of_headers(headers: Mapping[str, str]) -> Credential | None:
    key = headers.get("x-api-key")
    if key is not None:
        return Credential(key, "x-api-key")
    scheme, _, secret = headers.get("authorization", "").partition(" ")
    return Credential(secret.strip(), "authorization") if scheme.lower() == "bearer" else None


class _Rate(NamedTuple):
    """Of an API key: what it was made for, and what is left; a key with a rate of its own is not its user's matter."""

    per_s: float
    of_key: TokenBucket
    of_user: TokenBucket | None


class Gate:
    """Lets in who may come in, and counts what each API key asks over all its connections."""

    def __init__(
        self,
        authenticator: Authenticator,
        config: AuthConfig,
        *,
        anonymous: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`anonymous`: market data is for everybody."""
        self.authenticator = authenticator
        self.config = config
        self.anonymous = anonymous
        self._clock = clock
        self._rates: dict[int, _Rate] = {}  # by API key
        self._users: dict[str, TokenBucket] = {}

    def admit(self, head: Head, subprotocol: str | None = SUBPROTOCOL) -> Verdict | Refusal | None:
        """Who shakes hands, or why they may not; None for somebody who has not said who they are."""
        credential = take_credential(head, subprotocol)
        if credential is None:
            return None
        try:
            return self._check(credential, head.peer)
        except TickwireError as error:
            headers = (CHALLENGE,) if error.status == 401 else ()
            return Refusal(error.status, error.code, error.message, error.retry_after_ms, headers)

    def enter(self, secret: str, peer: str) -> Verdict:
        """Who authenticates on an open connection. Raises TickwireError."""
        return self._check(Credential(secret, "message"), peer)

    def identify(self, headers: Mapping[str, str], peer: str) -> Verdict:
        """Who sends an HTTP request. Raises TickwireError."""
        credential = _of_headers(headers)
        if credential is None:
            raise TickwireError("missing_api_key", "this needs an API key: send x-api-key, or Authorization: Bearer")
        return self._check(credential, peer)

    def knows(self, headers: Mapping[str, str]) -> bool:
        """Whether an HTTP request shows credentials that are good. Nothing is counted."""
        credential = _of_headers(headers)
        return credential is not None and self.authenticator.authenticate(*credential).principal is not None

    def spend(self, verdict: Verdict) -> TickwireError | None:
        """Count one request of a key and its user; what to say when there were too many."""
        assert verdict.principal is not None
        config, now_s = self.config, self._clock()
        rate_per_s = float(verdict.requests_per_s or config.key_requests_per_s)
        burst = config.key_requests_burst if verdict.requests_per_s is None else verdict.requests_per_s
        known = self._rates.get(verdict.principal.api_key_id)
        if known is None or known.per_s != rate_per_s:
            of_user = self._of_user(verdict.principal, now_s) if verdict.requests_per_s is None else None
            known = self._rates[verdict.principal.api_key_id] = _Rate(
                rate_per_s, TokenBucket(rate_per_s, burst, now_s), of_user
            )
        if wait_s := known.of_key.take(now_s):
            details = {"key_requests_per_s": rate_per_s, "key_requests_burst": burst}
            return _too_many("too many requests with this API key, over all its connections", wait_s, details)
        if known.of_user is not None and (wait_s := known.of_user.take(now_s)):
            rates = ("user_requests_per_s", "user_requests_burst")
            details = {name: getattr(config, name) for name in rates}
            return _too_many("too many requests of this user, over all its API keys", wait_s, details)
        return None

    def _of_user(self, principal: Principal, now_s: float) -> TokenBucket:
        found = self._users.get(principal.user_name)
        if found is None:
            found = TokenBucket(self.config.user_requests_per_s, self.config.user_requests_burst, now_s)
            self._users[principal.user_name] = found
        return found

    def charge(self, principal: Principal, count: int) -> None:
        """So many more requests of a key: one that was counted has turned out to ask for several things. They are owed
        by the requests that follow."""
        known = self._rates.get(principal.api_key_id)
        if known is not None:
            known.of_key.charge(count)
            if known.of_user is not None:
                known.of_user.charge(count)

    def _check(self, credential: Credential, peer: str) -> Verdict:
        verdict = self.authenticator.authenticate(*credential)
        if verdict.principal is None:
            assert verdict.code in CODES
            log.info("credentials refused", peer=peer, place=credential.place, code=verdict.code)
            raise TickwireError(verdict.code, verdict.message)
        if error := self.spend(verdict):
            raise error
        return verdict


def _too_many(message: str, wait_s: float, details: dict[str, float]) -> TickwireError:
    wait_ms = max(1, int(min(wait_s, _RETRY_AFTER_S_MAX) * 1000))
    return TickwireError("rate_limited", message, details=details, retry_after_ms=wait_ms)
