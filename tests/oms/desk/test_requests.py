"""One request_id is one command, however many ask for it at once, later, or again after a restart."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from msgspec.structs import replace

from oms.commands import parse
from oms.desk.dispatch import Dispatcher, Run
from oms.desk.requests import Requests, RunningMax
from oms.desk.results import CommandResult
from oms.errors import OmsError
from oms.model import Principal
from oms.store import history
from tests.oms.desk.desks import ADMIN, Setting, stored_command
from tests.oms.desk.scripted_venue import Fault
from tests.oms.desk.trading_made import ORDINARY, code, trading
from tests.oms.impatient import impatient
from tests.waiting import until


def body(request_id: str | None = "r", account_id: int = 1, **changes: Any) -> dict[str, Any]:
    named = {"request_id": request_id} if request_id else {}
    return {"account_id": account_id, "command": "send_order", "payload": {**ORDINARY, **changes}, **named}


class Asking(Requests):
    """Requests as a test asks for them."""

    async def ask(self, *bodies: dict[str, Any], principal: Principal = ADMIN) -> list[CommandResult]:
        return await self.execute(principal, parse(list(bodies)))


@asynccontextmanager
async def asking(
    made: Setting,
    running_max: RunningMax = RunningMax(),  # noqa: B008  # immutable
) -> AsyncIterator[Asking]:
    def run_of(principal: Any, request: Any) -> Run:
        if request.account_id != 1:
            raise OmsError("account_not_found", "there is no such account")
        return Run(made.desk, principal, request)

    carry_out = Dispatcher(made.handlers).carry_out
    requests = Asking(made.desk.pool, run_of=run_of, carry_out=carry_out, wait_s=20.0, running_max=running_max)
    try:
        yield requests
    finally:
        await requests.close()


async def test_the_same_request_at_once_is_one_order(dsn: str) -> None:
    async with trading(dsn) as made, asking(made) as requests:
        answers = await asyncio.gather(*(requests.ask(body()) for _ in range(32)))
        assert len(made.venue.placed) == 1
        assert {(answer.ok, answer.command_id, answer.order_id) for (answer,) in answers} == {(True, 1, 1)}
        assert sum(not answer.replayed for (answer,) in answers) == 1


async def test_the_same_request_later_is_answered_from_what_was_stored(dsn: str) -> None:
    async with trading(dsn) as made:
        async with asking(made) as requests:
            (first,) = await requests.ask(body(qty="0.5"))
            (refused,) = await requests.ask(body("other", strategy_id=7))
        async with asking(made) as requests:
            (again,) = await requests.ask(body(qty="0.50"))
            assert (again.ok, again.order_id, again.replayed) == (True, first.order_id, True)
            (also,) = await requests.ask(body("other", strategy_id=7))
            assert (also.error, also.replayed) == (refused.error, True)
            assert len(made.venue.placed) == 1


@pytest.mark.parametrize("later", [True, False])
async def test_another_payload_under_the_same_id_is_a_conflict(dsn: str, later: bool) -> None:
    async with trading(dsn) as made, asking(made) as requests:
        if later:
            await requests.ask(body())
            (answer,) = await requests.ask(body(qty="2"))
        else:
            _, answer = await requests.ask(body(), body(qty="2"))
        assert code(answer) == "idempotency_conflict"
        assert len(made.venue.placed) == 1


async def test_what_still_runs_is_said_to_and_goes_on_when_nobody_waits(dsn: str) -> None:
    async with trading(dsn) as made, asking(made) as requests:
        made.venue.gate.clear()
        with impatient(lambda: made.venue.requests):  # until then it has been kept, and has a number
            (answer,) = await requests.ask(body())
        assert (answer.ok, answer.running, answer.command_id, answer.order_id) == (False, True, 1, 1)
        gone = asyncio.create_task(requests.ask(body("s")))
        await until(lambda: len(made.venue.requests) == 2)
        gone.cancel()
        with impatient():
            (again,) = await requests.ask(body())
        assert (again.running, again.replayed) == (True, True)
        made.venue.gate.set()
        await until(lambda: len(made.venue.placed) == 2)
        await until(lambda: not requests._entries)
        for request_id in ("r", "s"):
            stored = await stored_command(made.desk.pool, request_id)
            assert stored is not None
            assert stored.status == "ok"


async def test_commands_of_a_body_begin_in_its_order(dsn: str) -> None:
    async with trading(dsn) as made, asking(made) as requests:
        answers = await requests.ask(*(body(f"r{number}") for number in range(5)))
        assert [answer.order_id for answer in answers] == [1, 2, 3, 4, 5]
        assert made.venue.placed == [f"tw-e1-{number}" for number in range(1, 6)]


async def test_what_cannot_be_understood_or_has_no_account_stands_in_its_place(dsn: str) -> None:
    async with trading(dsn) as made, asking(made) as requests:
        answers = await requests.ask(body("a", account_id=2), {"nonsense": 1}, body("c"), body(None))
        assert [code(answer) for answer in answers] == ["account_not_found", "validation_error", None, None]


@pytest.mark.parametrize("error", [OSError("gone"), RuntimeError("a fault of ours")])
async def test_what_cannot_be_looked_up_is_not_begun_and_the_rest_is(
    dsn: str, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    async def fail(*_: object) -> None:
        raise error

    async with trading(dsn) as made, asking(made) as requests:
        monkeypatch.setattr(history, "commands_by_requests", fail)
        (alone,) = await requests.ask(body())
        named, unnamed = await requests.ask(body(), body(None))
        assert [code(alone), code(named), code(unnamed)] == ["engine_unavailable", "engine_unavailable", None]
        assert len(made.venue.placed) == 1


async def test_a_stop_answers_who_waits_without_claiming_anything(dsn: str) -> None:
    async with trading(dsn) as made:
        async with asking(made) as requests:
            made.venue.gate.clear()
            waiting = asyncio.create_task(requests.ask(body()))
            await until(lambda: made.venue.requests == ["place"])
        (answer,) = await waiting
        assert (code(answer), answer.order_id) == ("engine_unavailable", 1)
        assert made.venue.placed == []


async def test_a_command_found_running_is_answered_by_what_is_found_out(dsn: str) -> None:
    async with trading(dsn) as made:
        async with asking(made) as requests:
            made.venue.script("place", Fault.DROPPED)
            with impatient(lambda: made.venue.requests):
                await requests.ask(body())
        row = await stored_command(made.desk.pool, "r")
        assert row is not None
        async with asking(made) as requests:
            found = asyncio.Event()

            async def work() -> CommandResult:
                await found.wait()
                return CommandResult(ok=True, command_id=row.id, order_id=1)

            requests.resume(row, work())
            waiting = asyncio.create_task(requests.ask(body()))
            await asyncio.sleep(0)
            found.set()
            (answer,) = await waiting
            assert (answer.ok, answer.replayed) == (True, True)


def canceling(account_id: int = 1) -> dict[str, Any]:
    return {"account_id": account_id, "command": "cancel_order", "payload": {"order_id": 1}}


async def test_a_key_may_not_fill_what_runs_and_a_tenth_of_its_share_is_kept_for_cancels(dsn: str) -> None:
    other = replace(ADMIN, api_key_id=2)
    async with trading(dsn) as made, asking(made, running_max=RunningMax(10, 100)) as requests:
        made.venue.gate.clear()
        with impatient():
            answers = await requests.ask(*(body(None) for _ in range(10)))
        assert [code(answer) for answer in answers] == [None] * 9 + ["rate_limited"]
        assert answers[9].error is not None
        assert (answers[9].error["retry_after_ms"], answers[9].error["details"]) == (
            1_000, {"commands_running_per_key_max": 10},
        )  # fmt: skip
        with impatient():
            (answer, one_more) = await requests.ask(canceling(), canceling())
            assert (answer.running, code(one_more)) == (True, "rate_limited")
            (answer,) = await requests.ask(body(None), principal=other)
        assert answer.running
        made.venue.gate.set()
        await until(lambda: not requests._tasks)
        (answer,) = await requests.ask(body(None))
        assert answer.ok
        assert not requests._of_keys
        assert not requests._of_accounts


async def test_an_account_has_a_share_over_all_keys_and_those_of_others_are_not_kept_waiting(dsn: str) -> None:
    keys = [replace(ADMIN, api_key_id=number) for number in (1, 2, 3)]
    async with trading(dsn) as made, asking(made, running_max=RunningMax(100, 3)) as requests:
        made.venue.gate.clear()
        with impatient():
            answers = [(await requests.ask(body(None), principal=key))[0] for key in keys]
        assert [answer.running for answer in answers] == [True, True, True]
        refused, elsewhere = await requests.ask(body(None), body(None, account_id=2), principal=keys[0])
        assert refused.error is not None
        assert refused.error["details"] == {"commands_running_per_account_max": 3}
        assert code(elsewhere) == "account_not_found"
        made.venue.gate.set()
