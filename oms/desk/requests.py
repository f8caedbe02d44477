"""Commands by the id of who sent them: each is carried out once, however often and from wherever it is asked for.

Holds what is being carried out; what is over is read from the database. Whoever asked may go: a command goes on. Must
not know how one is carried out, nor an account.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final, NamedTuple

import structlog
from msgspec.structs import replace

from oms.commands import Request
from oms.desk.dispatch import Run
from oms.desk.grouped import Grouped
from oms.desk.results import CommandResult
from oms.errors import OmsError
from oms.model import Principal
from oms.store import history
from oms.store.pool import UNAVAILABLE, Pool
from oms.writes import CommandRow, CommandStatus

log = structlog.get_logger(__name__)

# What makes less or ends something: a tenth of each share is kept for it.
ROOM_IS_KEPT_FOR: Final = frozenset({"cancel_order", "cancel_all_orders", "cancel_all_after", "close_position"})
Key = tuple[int, str]  # api_key_id, request_id


class RunningMax(NamedTuple):
    """How many commands may be under way at a time: nobody's keep those of others from being taken."""

    of_key: int = 1_000
    of_account: int = 5_000


class Owner(NamedTuple):
    """Whose share of what is under way a command is of."""

    api_key_id: int
    account_id: int


class Entry:
    """A command under way. `run` is there once it is known to be the first of its id."""

    def __init__(self, payload_hash: bytes, owner: Owner) -> None:
        self.hash = payload_hash
        self.owner = owner
        self.run: Run | None = None
        self.command_id: int | None = None
        self.order_id: int | None = None
        self.done: asyncio.Future[CommandResult] = asyncio.get_running_loop().create_future()

    def so_far(self) -> CommandResult:
        """What is told of it while it runs."""
        command_id = self.run.command_id if self.run else self.command_id
        order_id = self.run.order_id if self.run else self.order_id
        return CommandResult(ok=False, command_id=command_id, order_id=order_id, running=True)


class Claim(NamedTuple):
    """Somebody asks for a command; `first`: nobody else does."""

    asked: Request
    key: Key | None
    entry: Entry
    first: bool

    def answer(self) -> CommandResult:
        """What is told now."""
        if self.asked.hash != self.entry.hash:
            return CommandResult.of_refusal(_conflict(self.asked))
        result = self.entry.done.result() if self.entry.done.done() else self.entry.so_far()
        kept = result.command_id is not None
        return result if self.first or not kept else replace(result, replayed=True)


class Requests:
    """Carries commands out by `carry_out`, once each."""

    def __init__(
        self,
        pool: Pool,
        *,
        run_of: Callable[[Principal, Request], Run],
        carry_out: Callable[[Run], Coroutine[Any, Any, CommandResult]],
        wait_s: float,
        running_max: RunningMax = RunningMax(),  # noqa: B008  # immutable
    ) -> None:
        """`run_of` raises OmsError for an account there is not; `wait_s`: how long whoever asks waits for an end."""
        self._stored: Grouped[Key, CommandRow] = Grouped(
            lambda keys: history.commands_by_requests(pool, keys), shared=UNAVAILABLE
        )
        self._run_of = run_of
        self._carry_out = carry_out
        self._wait_s = wait_s
        self._running_max = running_max
        self._of_keys: Counter[int] = Counter()  # under way, by API key
        self._of_accounts: Counter[int] = Counter()
        self._entries: dict[Key, Entry] = {}
        self._tasks: set[asyncio.Task[Any]] = set()

    async def execute(self, principal: Principal, asked: Sequence[Request | OmsError]) -> list[CommandResult]:
        """One answer each, in the order asked. They begin in that order too and go on side by side: one that has to
        wait for something does not keep the next ones waiting."""
        claims = [each if isinstance(each, OmsError) else self._claim(principal, each) for each in asked]
        fresh = [claim for claim in claims if isinstance(claim, Claim) and claim.first]
        if fresh:
            self._watch(asyncio.create_task(self._begin(principal, fresh)), fresh)
        waiting = {claim.entry.done for claim in claims if isinstance(claim, Claim)}
        if waiting:
            await asyncio.wait(waiting, timeout=self._wait_s)
        return [claim.answer() if isinstance(claim, Claim) else CommandResult.of_refusal(claim) for claim in claims]

    def resume(self, row: CommandRow, work: Coroutine[Any, Any, CommandResult]) -> None:
        """A command that was running when the process ended: what becomes of it is found out by `work`."""
        entry = self._taken(row.payload_hash, Owner(row.api_key_id, row.account_id))
        entry.command_id, entry.order_id = row.id, row.order_id
        key = None
        if row.request_id is not None:
            key = (row.api_key_id, row.request_id)
            self._entries[key] = entry
        self._start(key, entry, work)

    async def close(self, timeout_s: float = 0) -> None:
        """Let what is under way end. What does not in time is as if the process had died in it, and says so."""
        if self._tasks and timeout_s:
            await asyncio.wait(self._tasks, timeout=timeout_s)
        while tasks := list(self._tasks):
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _claim(self, principal: Principal, asked: Request) -> Claim | OmsError:
        """Whoever comes first carries it out: said at once, before anything is looked up."""
        key = None if asked.request_id is None or asked.validate else (principal.api_key_id, asked.request_id)
        entry = self._entries.get(key) if key else None
        if entry is not None:
            return Claim(asked, key, entry, first=False)
        owner = Owner(principal.api_key_id, asked.account_id)
        if refusal := self._too_many(owner, asked.command):
            return refusal
        entry = self._taken(asked.hash, owner)
        if key:
            self._entries[key] = entry
        return Claim(asked, key, entry, first=True)

    def _too_many(self, owner: Owner, command: str) -> OmsError | None:
        """Why this would be one too many."""
        shares = (
            ("commands_running_per_key_max", "API key", self._of_keys[owner.api_key_id], self._running_max.of_key),
            (
                "commands_running_per_account_max", "account",
                self._of_accounts[owner.account_id], self._running_max.of_account,
            ),
        )  # fmt: skip
        for name, whose, running, most in shares:
            if running >= (most if command in ROOM_IS_KEPT_FOR else most - most // 10):
                text = f"{running} commands of this {whose} are under way"
                return OmsError("rate_limited", text, details={name: most}, retry_after_ms=1_000)
        return None

    def _taken(self, payload_hash: bytes, owner: Owner) -> Entry:
        self._of_keys[owner.api_key_id] += 1
        self._of_accounts[owner.account_id] += 1
        return Entry(payload_hash, owner)

    async def _begin(self, principal: Principal, claims: Sequence[Claim]) -> None:
        """Those that were never asked for begin; of the others, what was answered is answered again."""
        looking = [self._look_up(claim) for claim in claims]
        found = [await looking[0]] if len(looking) == 1 else await asyncio.gather(*looking)  # one needs no other task
        for claim, stored in zip(claims, found, strict=True):
            if stored is None:
                self._start(claim.key, claim.entry, self._carried_out(principal, claim))
            else:
                self._finish(claim.key, claim.entry, _told(claim, stored))

    async def _look_up(self, claim: Claim) -> CommandRow | Exception | None:
        try:
            return await self._stored.get(claim.key) if claim.key else None
        except Exception as error:  # each claim has its own
            return error

    async def _carried_out(self, principal: Principal, claim: Claim) -> CommandResult:
        try:
            claim.entry.run = run = self._run_of(principal, claim.asked)
        except OmsError as error:
            return CommandResult.of_refusal(error)
        return await self._carry_out(run)

    def _start(self, key: Key | None, entry: Entry, work: Coroutine[Any, Any, CommandResult]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)

        def ended(_: object) -> None:
            self._tasks.discard(task)
            known = entry.so_far()
            gone = replace(CommandResult.of_refusal(_gone()), command_id=known.command_id, order_id=known.order_id)
            self._finish(key, entry, _result(task) or gone)

        task.add_done_callback(ended)

    def _watch(self, task: asyncio.Task[None], claims: Sequence[Claim]) -> None:
        """None of the commands is forgotten when they cannot even begin."""
        self._tasks.add(task)

        def ended(_: object) -> None:
            self._tasks.discard(task)
            if task.cancelled() or task.exception() is not None:
                for claim in claims:
                    self._finish(claim.key, claim.entry, CommandResult.of_refusal(_gone()))

        task.add_done_callback(ended)

    def _finish(self, key: Key | None, entry: Entry, result: CommandResult) -> None:
        if entry.done.done():
            return
        if key:
            del self._entries[key]
        for running, whose in ((self._of_keys, entry.owner.api_key_id), (self._of_accounts, entry.owner.account_id)):
            running[whose] -= 1
            if not running[whose]:
                del running[whose]
        entry.done.set_result(result)


def _result(task: asyncio.Task[CommandResult]) -> CommandResult | None:
    """None when it was broken off."""
    error = None if task.cancelled() else task.exception()
    if error is not None:
        log.error("command broke off", exc_info=error)
    return None if task.cancelled() or error is not None else task.result()


def _told(claim: Claim, stored: CommandRow | Exception) -> CommandResult:
    """What the database has of a command, as the answer to who asks for it again."""
    if isinstance(stored, UNAVAILABLE):
        return CommandResult.of_refusal(_gone())
    if isinstance(stored, Exception):
        log.error("command could not be looked up", exc_info=stored)
        return CommandResult.of_refusal(_gone())
    if stored.payload_hash != claim.asked.hash:
        return CommandResult.of_refusal(_conflict(claim.asked))
    if stored.status is CommandStatus.RUNNING or stored.result is None:
        return CommandResult(ok=False, command_id=stored.id, order_id=stored.order_id, running=True, replayed=True)
    return CommandResult.of_stored(stored.id, stored.result, replayed=True)


def _gone() -> OmsError:
    return OmsError("engine_unavailable", "the desk stopped before this ended: ask again under the same request_id")


def _conflict(asked: Request) -> OmsError:
    return OmsError(
        "idempotency_conflict",
        f"request_id {asked.request_id!r} was used for another command",
        details={"request_id": asked.request_id},
    )
