"""What one connection of the stream dialect follows of what accounts are worth, and how its requests change that.

Holds who may see what by now. Synchronous: numbers, replay and throttling are the hub's. Must not know how an account
is valued, nor a socket.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from msgspec.structs import replace

from gateway.core.key import PORTFOLIO, tier_of
from gateway.errors import TickwireError
from gateway.net.portfolio import key_of
from gateway.wire import private, stream

if TYPE_CHECKING:
    from gateway.core.hub import Subscribed
    from gateway.net.connection import Connection
    from gateway.net.portfolio import Portfolios
    from gateway.wire.forms import Forms

NO_MORE: Final = "this key may not see all of this account any more"


class _Active(NamedTuple):
    listed: private.Listed
    at: Subscribed
    request: stream.Subscribe


class PortfolioStreams:
    """The accounts of one connection. Subscribing to one again replaces it."""

    def __init__(self, portfolios: Portfolios, forms: Forms, conn: Connection) -> None:
        self._portfolios = portfolios
        self._forms = forms
        self._conn = conn
        self._active: dict[int, _Active] = {}
        self._requests = 0

    def __len__(self) -> int:
        return len(self._active)

    def listed(self) -> list[private.Listed]:
        """Every stream, in the order of subscription."""
        return [each.listed for each in self._active.values()]

    def kept(self) -> list[stream.Subscribe]:
        """The requests that bring each stream back to where it is."""
        found = []
        for account_id, active in self._active.items():
            position = self._portfolios.hub.position(active.at.id)
            resume = {} if position is None else {str(account_id): stream.Position(*position)}
            found.append(replace(active.request, id=None, account_ids=[account_id], resume=resume))
        return found

    def subscribe(self, request: stream.Subscribe, principal: Any) -> bytes:
        """The ack: replays, gaps and snapshots leave behind it."""
        self._requests += 1
        subscription_id = f"v{self._requests}"
        states: dict[int, stream.StreamState] = {}
        errors: dict[int, str] = {}
        tier_ms = tier_of(request.throttle_ms)
        for account_id in dict.fromkeys(request.account_ids):
            try:
                self._portfolios.require(principal, account_id)
                at = self._join(account_id, request, tier_ms, subscription_id)
            except TickwireError as error:
                errors[account_id] = error.code
                continue
            tier_ms = at.id.tier_ms
            states[account_id] = stream.StreamState(at.epoch, at.sequence, at.recovered, at.replayed)
        return private.subscribed(request, subscription_id, states, errors, tier_ms)

    def unsubscribe(self, request: stream.Unsubscribe) -> bytes:
        """The reply; an account that is not subscribed is named in its errors."""
        asked = list(self._active) if request.account_ids is None else list(dict.fromkeys(request.account_ids))
        left = [account_id for account_id in asked if account_id in self._active]
        for account_id in left:
            self._leave(account_id)
        return private.unsubscribed(request, left, {each: "account_not_found" for each in asked if each not in left})

    def changed(self, principal: Any) -> Iterator[bytes]:
        """The key may do other things by now: end what it may no longer see, and what to say of that."""
        for account_id, active in list(self._active.items()):
            try:
                self._portfolios.require(principal, account_id)
            except TickwireError as error:
                if error.code == "engine_unavailable":
                    continue  # nobody knows now, and nothing is told meanwhile that was not allowed
                self._leave(account_id)
                failure = TickwireError("permission_denied", NO_MORE)
                yield private.ended(failure, active.listed, f"{self._conn.id}-{active.listed.subscription_id}")

    def _join(self, account_id: int, request: stream.Subscribe, tier_ms: int, subscription_id: str) -> Subscribed:
        previous = self._active.get(account_id)
        if previous is None and len(self._active) >= self._portfolios.limits.subscriptions_per_connection_max:
            raise TickwireError("too_many_subscriptions", "this connection has as many streams as it may have")
        if previous is not None:
            self._leave(account_id)
        position = request.resume.get(str(account_id))
        at = self._portfolios.hub.subscribe(
            self._conn.outbox,
            key_of(account_id),
            form=self._forms.of(request.encoding, request.compression, deflate=self._conn.deflate),
            tier_ms=tier_ms,
            batch=request.batch,
            resume=None if position is None else (position.epoch, position.sequence),
            snapshot=request.snapshot,
        )
        listed = private.Listed(
            subscription_id, PORTFOLIO, account_id, request.encoding, request.compression, at.id.tier_ms, request.batch
        )
        self._active[account_id] = _Active(listed, at, request)
        return at

    def _leave(self, account_id: int) -> None:
        self._portfolios.hub.unsubscribe(self._conn.outbox, self._active.pop(account_id).at.id)
