"""What all resources share: who asks, which refusals they document, and what they ask of the service.

Holds types and no handler. Must not know a table or how a request travels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias

from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec

from oms.model import Account, Order, Position, Principal
from oms.shapes import ErrorShape

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from oms.alerts.service import Alerts
    from oms.desk.results import CommandResult
    from oms.publications.service import Publications
    from oms.signing import Signature
    from oms.store.pool import Pool
    from oms.trader import Readiness
    from oms.vault import Vault

# Whoever composes the application says who asks: handlers name a parameter `principal`.
Asks: TypeAlias = NamedDependency[Principal]

_MEANING: Final[Mapping[int, str]] = {
    401: "No credentials, or none that are good.",
    403: "Not with this API key.",
    404: "There is no such thing, or it may not be seen.",
    409: "Not in the state that it is in.",
    413: "The body is too large.",
    422: "What is asked cannot be understood, or breaks a rule.",
    429: "Too often.",
    502: "The exchange failed, or nobody knows what became of it.",
    503: "The exchange or the order database cannot be reached; try again.",
}


def refusals(*more: int) -> dict[int, ResponseSpec]:
    """What an operation may answer besides: what all of them may, and these statuses."""
    statuses = sorted({401, 403, 404, 422, 429, 503, *more})
    return {status: ResponseSpec(ErrorShape, description=_MEANING[status]) for status in statuses}


class Service(Protocol):
    """What the resources ask of the service that runs the desks."""

    @property
    def pool(self) -> Pool: ...

    @property
    def vault(self) -> Vault: ...

    @property
    def publications(self) -> Publications: ...

    @property
    def alerts(self) -> Alerts:
        """Raises OmsError while the database is away."""

    async def execute(
        self,
        principal: Principal,
        body: object,
        *,
        idempotency_key: str | None = None,
        signature: Signature | None = None,
    ) -> list[CommandResult]: ...

    def waiting(self) -> AbstractContextManager[None]:
        """While somebody waits for the answer to commands."""

    def require_right(self, principal: Principal, signature: Signature) -> None:
        """Raises OmsError unless the signature is of the principal's API key, and here for the first time."""

    def require_unsigned(self, principal: Principal, account_id: int) -> None:
        """Raises OmsError where an account takes signed commands only."""

    @property
    def is_ready(self) -> bool:
        """The order database is there."""

    def readiness(self) -> list[Readiness]:
        """How far each account is. Raises OmsError while the database is away."""

    async def require_venue(self, account: Account) -> None:
        """Raises OmsError when there is nowhere that orders of such an account could go."""

    async def changed(self) -> None:
        """Take over what was stored about accounts, and the kill switch of all of them: in force when this returns."""

    async def reconcile(self, account_id: int) -> object:
        """Compare with the venue now; returns when that is over. Raises OmsError `account_not_found`."""

    async def reassign(
        self,
        principal: Principal,
        account_id: int,
        strategy_id: int,
        *,
        order_ids: Sequence[int],
        position_ids: Sequence[int],
    ) -> tuple[list[Order], list[Position]]:
        """Give orders and positions of the account to a strategy. Raises OmsError, and then nothing was given."""
