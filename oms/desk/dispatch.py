"""Commands of one account: who carries each out, and what is kept of it.

Holds the life of a command: refused, or begun; then finished, with its answer stored together with what it changed.
Must not know what any command does: handlers are registered by name.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import structlog
from msgspec.structs import replace

from oms.auth import require_close, require_trade
from oms.commands import Request
from oms.desk.desk import Desk
from oms.desk.results import CommandResult, Outcome
from oms.errors import OmsError
from oms.model import Order, Position, Principal
from oms.store import history
from oms.writes import CommandRow

log = structlog.get_logger(__name__)

# Refusals of a command that did not begin and is not kept: it may be asked for again under the same request_id.
PASSING: Final = frozenset({
    "account_not_found", "permission_denied", "strategy_permission_denied", "exchange_unavailable",
    "engine_unavailable",
})  # fmt: skip
# Of these the refusal is kept, but not as the answer to its request_id: who waits for the market, or for room, sends
# the same again.
TOO_OFTEN: Final = "rate_limited"
RETRIED: Final = frozenset({"stale_market_data", TOO_OFTEN})
RETRY_MS: Final = 1_000

Require = Callable[[int | None], None]  # raises OmsError unless who asks may do it with this strategy


def allowed(require: Require, strategy_id: int | None) -> bool:
    """Whether who asks may do it with this strategy. Raises what has nothing to do with strategies."""
    try:
        require(strategy_id)
    except OmsError as error:
        if error.code != "strategy_permission_denied":
            raise
        return False
    return True


def open_position(desk: Desk, position_id: int, require: Require) -> Position:
    """An open one. One of a strategy that who asks has nothing to do with is not there."""
    position = desk.book.position(position_id)
    if not allowed(require, position.strategy_id):
        raise OmsError("position_not_found", f"account {desk.account.id} has no open position {position_id}")
    return position


class Run:
    """A command on its way. A handler looks and waits first, then calls `begin` and changes the book at once.

    What it raises before that is a refusal. `payload` is of the class that `oms.commands.COMMANDS` has for it.
    """

    def __init__(self, desk: Desk, principal: Principal, request: Request) -> None:
        self.desk = desk
        self.principal = principal
        self.request = request
        self.row: CommandRow | None = None

    @property
    def payload(self) -> Any:
        return self.request.payload

    @property
    def validate(self) -> bool:
        """Whether to return, with an `Outcome()`, where it would begin."""
        return self.request.validate

    @property
    def command_id(self) -> int | None:
        return self.row.id if self.row else None

    @property
    def order_id(self) -> int | None:
        return self.row.order_id if self.row else None

    def begin(self, order_id: int | None = None) -> int:
        """Its id: its row goes with the next commit. Again, to name the order it is about."""
        desk, request = self.desk, self.request
        self.row = self.row or CommandRow(
            id=desk.ids.command(),
            api_key_id=self.principal.api_key_id,
            account_id=desk.account.id,
            command=request.command,
            payload=request.plain,
            payload_hash=request.hash,
            created_ns=desk.now_ns(),
            request_id=request.request_id,
        )
        if order_id is not None:
            self.row = replace(self.row, order_id=order_id)
        desk.book.start_command(self.row)
        return self.row.id

    def require_trade(self, strategy_id: int | None) -> None:
        """Raises unless who asks may trade with this strategy (None: with all)."""
        require_trade(self.principal, self.desk.account.id, strategy_id)

    def require_close(self, strategy_id: int | None) -> None:
        """Raises unless who asks may at least close with this strategy (None: with all)."""
        require_close(self.principal, self.desk.account.id, strategy_id)

    async def order(self, order_id: int, require: Require) -> Order:
        """The order, also one that is over and not in memory any more. What one may not see is not there."""
        order = self.desk.book.orders.get(order_id)
        if order is None:
            stored = (await history.orders_by_ids(self.desk.pool, [order_id])).get(order_id)
            order = stored if stored is not None and stored.account_id == self.desk.account.id else None
        if not allowed(require, order.strategy_id if order else None) or order is None:
            raise OmsError("order_not_found", f"account {self.desk.account.id} has no order {order_id}")
        return order


Handler = Callable[[Run], Awaitable[Outcome]]


class Dispatcher:
    """Carries out commands; what a handler returns or raises is stored and answered."""

    def __init__(self, handlers: Mapping[str, Handler]) -> None:
        self._handlers = handlers

    async def carry_out(self, run: Run) -> CommandResult:
        """Never raises: a refusal is an answer."""
        try:
            if run.desk.obstacle is not None:
                raise OmsError("exchange_unavailable", run.desk.obstacle, retry_after_ms=RETRY_MS)
            outcome = await self._handlers[run.request.command](run)
        except OmsError as error:
            outcome = Outcome(order_id=run.order_id, error=error)
        except Exception:
            log.exception("command failed", command=run.request.command, command_id=run.command_id)
            outcome = Outcome(order_id=run.order_id, error=OmsError("internal_error", "this is our fault, and logged"))
        return await self.finish(run, outcome)

    async def finish(self, run: Run, outcome: Outcome) -> CommandResult:
        """Keep the answer, and give it once that is durable."""
        refused = outcome.error.code if run.row is None and outcome.error is not None else None
        dropped = refused in PASSING or (refused == TOO_OFTEN and not run.desk.keeps_refusal())
        if run.validate or dropped:
            return CommandResult.of_refusal(outcome.error) if outcome.error else CommandResult(ok=True)
        if refused in RETRIED:
            run.request = replace(run.request, request_id=None)
        run.begin(outcome.order_id)
        assert run.row is not None
        stored = outcome.stored
        run.row = run.desk.book.finish_command(
            run.row, run.desk.now_ns(), result=stored, error=stored["error"], order_id=outcome.order_id
        )
        try:
            await run.desk.commit()
        except OmsError as error:
            return replace(CommandResult.of_refusal(error), command_id=run.row.id, order_id=run.row.order_id)
        return CommandResult.of_stored(run.row.id, stored, replayed=False)
