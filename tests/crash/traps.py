"""The steps at which a gateway can be made to die, each by a wrapper around the real code that does it.

Holds where the steps are and who is killed there. Must not know what a run does, nor what must hold after it.
"""

from __future__ import annotations

import asyncio
import functools
import json
import os
import signal
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

from oms.desk.changing import Changing
from oms.desk.dispatch import Dispatcher
from oms.desk.hearing import Hearing
from oms.desk.orders import Orders
from oms.journal import Journal
from oms.model import OrderState
from oms.reckoning import Reckoning
from oms.reconcile import Reconciler
from oms.store import progress
from oms.store.pool import Connection
from oms.trader import Trader
from oms.venues.ccxt import CcxtVenue
from oms.writes import CommandStatus, Writes

Victim = Literal["gateway", "backend", "postmaster"]
VICTIMS: Final[tuple[Victim, ...]] = ("gateway", "backend", "postmaster")
SPRUNG: Final = "trap sprung"  # in the log
IN_FLIGHT_S: Final = 0.03  # after a request was sent; the exchange is made to answer later
TURNS: Final = 3  # of the loop, until a transaction has left

_COMMITS: Final = tuple(
    f"{what}.{when}" for what in ("send", "change", "cancel", "fill", "result")
    for when in ("committing", "commit_sent", "committed")
)  # fmt: skip
_REQUESTS: Final = tuple(
    f"{what}.{when}" for what in ("send", "change", "cancel") for when in ("asking", "asked", "answered", "recorded")
)
_HEARD: Final = ("fill.heard", "fill.booked", "fill.order_update")
TRADING: Final = (*_COMMITS, *_REQUESTS, *_HEARD, "result.durable")
AGAIN: Final = (
    "venue.opened", "recover.begun", "recover.done", "find.asking", "find.answered", "reconcile.orders",
    "reconcile.trades", "reconcile.read", "reconcile.cursor", "reconcile.caught_up", "reconcile.done",
    "fill.committing", "fill.commit_sent", "fill.committed",
)  # fmt: skip
IN_DOUBT: Final = frozenset(step for step in TRADING if step.endswith(".asked"))  # the answer must be late


class Trap(NamedTuple):
    """Kill `victim` when the step is reached for the nth time."""

    step: str
    nth: int = 1
    victim: Victim = "gateway"


class Trapper:
    """Counts the steps of this process, and kills at one of them, once."""

    def __init__(self, trap: Trap, data: Path) -> None:
        """`data` is the folder of the PostgreSQL server."""
        self.sprung = False
        self._trap = trap
        self._data = data
        self._reached: Counter[str] = Counter()
        self._backend: int | None = None

    def note_backend(self, pid: int) -> None:
        """The server process that the journal writes through."""
        self._backend = pid

    def reach(self, step: str) -> bool:
        """Whether this is where to kill."""
        self._reached[step] += 1
        return not self.sprung and (step, self._reached[step]) == (self._trap.step, self._trap.nth)

    def step(self, step: str) -> None:
        if self.reach(step):
            self.kill()

    def kill(self) -> None:
        """SIGKILL: nobody gets to say anything more."""
        self.sprung = True
        said = {"event": SPRUNG, "level": "info", "step": self._trap.step, "victim": self._trap.victim}
        os.write(2, json.dumps(said).encode() + b"\n")  # at once: there may be no other moment
        if self._trap.victim == "gateway":
            os.kill(os.getpid(), signal.SIGKILL)
        elif self._trap.victim == "backend":
            assert self._backend is not None
            _kill(self._backend)
        else:
            _kill(int((self._data / "postmaster.pid").read_text().split("\n", 1)[0]))


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:  # it fell together with another one
        return


def kinds(batch: Writes) -> set[str]:
    """What a transaction is about."""
    states = {order.state for order in batch.orders.values()}
    found = {
        "send": OrderState.PENDING_SUBMIT in states,
        "change": OrderState.PENDING_REPLACE in states,
        "cancel": OrderState.PENDING_CANCEL in states,
        "fill": bool(batch.deals),
        "result": any(command.status is not CommandStatus.RUNNING for command in batch.commands.values()),
    }
    return {kind for kind, is_there in found.items() if is_there}


def install(trapper: Trapper) -> None:
    """Wrap every step of this process."""
    _around_commits(trapper)
    for name, what in (("place", "send"), ("replace", "change"), ("cancel", "cancel")):
        _around_request(trapper, name, what)
    for owner, name, before, after in (
        (Orders, "_place", None, "send.recorded"),
        (Orders, "_ask_to_cancel", None, "cancel.recorded"),
        (Changing, "_replace", None, "change.recorded"),
        (Dispatcher, "finish", None, "result.durable"),
        (CcxtVenue, "start", None, "venue.opened"),
        (CcxtVenue, "find", "find.asking", "find.answered"),
        (CcxtVenue, "open_orders", None, "reconcile.orders"),
        (CcxtVenue, "trades", None, "reconcile.trades"),
        (Trader, "recovered", "recover.begun", "recover.done"),
        (Reconciler, "_read_trades", None, "reconcile.read"),
        (Reconciler, "run", None, "reconcile.done"),
        (Reckoning, "look", "reconcile.caught_up", None),
        (progress, "set_cursor", "reconcile.cursor", None),
    ):
        _around(trapper, owner, name, before, after)
    _around_hearing(trapper)


def _around(trapper: Trapper, owner: Any, name: str, before: str | None, after: str | None) -> None:
    """A coroutine function: kill before it begins, or after it ended."""
    real: Callable[..., Awaitable[Any]] = getattr(owner, name)

    @functools.wraps(real)
    async def wrapped(*args: Any, **kwargs: Any) -> Any:
        if before:
            trapper.step(before)
        try:
            return await real(*args, **kwargs)
        finally:
            if after:
                trapper.step(after)

    setattr(owner, name, wrapped)


def _around_request(trapper: Trapper, name: str, what: str) -> None:
    """Before a request is sent, while it is under way, after its answer; whatever that is."""
    real: Callable[..., Awaitable[Any]] = getattr(CcxtVenue, name)

    @functools.wraps(real)
    async def wrapped(*args: Any, **kwargs: Any) -> Any:
        trapper.step(f"{what}.asking")
        if trapper.reach(f"{what}.asked"):
            asyncio.get_running_loop().call_later(IN_FLIGHT_S, trapper.kill)
        try:
            return await real(*args, **kwargs)
        finally:
            trapper.step(f"{what}.answered")

    setattr(CcxtVenue, name, wrapped)


def _around_commits(trapper: Trapper) -> None:
    make, real = Journal.__init__, Journal._commit

    def made(self: Journal, connection: Connection, **more: Any) -> None:
        make(self, connection, **more)
        trapper.note_backend(connection.get_server_pid())

    async def commit(self: Journal, batch: Writes) -> None:
        about = sorted(kinds(batch))
        for what in about:
            trapper.step(f"{what}.committing")
        writing = asyncio.ensure_future(real(self, batch))
        reached = [trapper.reach(f"{what}.commit_sent") for what in about]
        if any(reached):
            for _ in range(TURNS):
                await asyncio.sleep(0)
            trapper.kill()
        await writing
        for what in about:
            trapper.step(f"{what}.committed")

    Journal.__init__ = made  # type: ignore[method-assign]  # that is what a trap is
    Journal._commit = commit  # type: ignore[method-assign]  # as above


def _around_hearing(trapper: Trapper) -> None:
    on_trade, on_order = Hearing.on_trade, Hearing.on_order

    def heard_trade(self: Hearing, trade: Any) -> None:
        trapper.step("fill.heard")
        on_trade(self, trade)
        trapper.step("fill.booked")

    def heard_order(self: Hearing, said: Any) -> None:
        if said.filled:
            trapper.step("fill.order_update")
        on_order(self, said)

    Hearing.on_trade = heard_trade  # type: ignore[method-assign]  # as above
    Hearing.on_order = heard_order  # type: ignore[method-assign]  # as above
