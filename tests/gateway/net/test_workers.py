"""The processes of a gateway: started, started again, given up, and their counts in sum."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.app import App
from gateway.config import Config, OmsConfig, ServerConfig
from gateway.limits import Limits
from gateway.net.workers import Seat, Silence, Workers
from gateway.wire import link
from tests.waiting import until


@asynccontextmanager
async def working(count: int = 2, **limits: Any) -> AsyncIterator[Workers]:
    app = App(Config(server=ServerConfig(port=0, workers=count), limits=Limits(**limits), oms=OmsConfig(enabled=False)))
    assert app.workers is not None
    try:
        await app.start()
        yield app.workers
    finally:
        await app.close()


def children() -> set[str]:
    """The processes that this one has started, and those of them that have ended unnoticed."""
    return set(Path(f"/proc/self/task/{os.getpid()}/children").read_text().split())


def knows_settings(pid: int) -> bool:
    return b"TICKWIRE" in Path(f"/proc/{pid}/environ").read_bytes()


def exists(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


async def test_workers_end_with_the_gateway_and_know_none_of_its_settings() -> None:
    os.environ["TICKWIRE_AUTH__MASTER_KEYS"] = "never"
    try:
        async with working(3) as workers:
            assert workers.are_up()
            pids = [each["pid"] for each in workers.told()]
            assert [each["worker"] for each in workers.told()] == [1, 2]
            assert not any(map(knows_settings, pids))
    finally:
        del os.environ["TICKWIRE_AUTH__MASTER_KEYS"]
    assert not any(map(exists, pids))


async def test_a_worker_that_is_stopped_and_given_up_is_killed_and_another_takes_its_place() -> None:
    async with working() as workers:
        (seat,) = workers.seats
        assert seat.process is not None
        assert seat.link is not None
        stopped = seat.process.pid
        os.kill(stopped, signal.SIGSTOP)
        seat.link.on_overflow()
        await until(lambda: seat.starts == 2 and workers.are_up())
        assert not exists(stopped)


async def test_a_gateway_ends_behind_a_worker_that_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.net.workers.END_S", 0.1)
    before = children()
    async with working() as workers:
        (seat,) = workers.seats
        assert seat.process is not None
        os.kill(seat.process.pid, signal.SIGSTOP)
    assert children() <= before


async def test_who_is_cancelled_behind_a_worker_that_does_not_end_leaves_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("gateway.net.workers.END_S", 600.0)
    before = children()
    async with working() as workers:
        (seat,) = workers.seats
        assert seat.process is not None
        os.kill(seat.process.pid, signal.SIGSTOP)
        closing = asyncio.create_task(workers.close())
        await asyncio.sleep(0)
        closing.cancel()
        await asyncio.wait([closing], timeout=30)
        assert closing.cancelled()
        assert children() <= before


@pytest.mark.parametrize("turns", [0, 1, 2, 10])
async def test_a_gateway_ends_while_a_worker_is_being_started_and_leaves_nobody(turns: int) -> None:
    before = children()
    app = App(Config(server=ServerConfig(port=0, workers=2), oms=OmsConfig(enabled=False)))
    starting = asyncio.create_task(app.start())
    for _ in range(turns):
        await asyncio.sleep(0)
    starting.cancel()
    await asyncio.gather(starting, return_exceptions=True)
    await app.close()
    assert children() <= before


async def test_a_seat_stays_empty_for_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.net.workers.BACKOFF_MAX_S", 0.0)
    workers = App(Config(server=ServerConfig(port=0, workers=2), oms=OmsConfig(enabled=False))).workers
    assert workers is not None
    failures: list[Exception] = [OSError("no process"), RuntimeError("as asked")]

    async def serve(seat: Seat) -> int:
        seat.is_up.set()
        if failures:
            raise failures.pop()
        workers.close_accepting()
        return 0

    monkeypatch.setattr(workers, "_serve", serve)
    await workers._keep(workers.seats[0])
    assert not failures
    assert not workers.are_up()


def test_a_worker_hangs_when_several_of_our_turns_bring_nothing_and_not_before() -> None:
    silence = Silence(3.0)
    assert not any(silence.lasts(heard) for heard in (1, 2, 3, 3, 3, 3)), "three turns may be silent"
    assert not silence.lasts(4), "and then all of them again"
    assert [silence.lasts(4) for _ in range(4)] == [False, False, False, True]


def test_a_worker_that_has_not_said_anything_yet_has_a_minute_to_begin() -> None:
    silence = Silence(3.0)
    assert [silence.lasts(0) for _ in range(62)].index(True) == 60


async def test_a_worker_does_not_hang_because_the_first_process_was_held_up() -> None:
    async with working(worker_silence_s=2.0) as workers:
        (seat,) = workers.seats
        assert seat.link is not None
        await until(lambda: seat.link and seat.link.heard > 1)
        time.sleep(3.2)  # noqa: ASYNC251  # the process stands still, its worker does not
        heard = seat.link.heard
        await until(lambda: seat.link and seat.link.heard > heard)
        assert (seat.starts, workers.are_up()) == (1, True)


async def test_signals_for_the_gateway_do_not_end_a_worker() -> None:
    async with working() as workers:
        pid = workers.told()[0]["pid"]
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            os.kill(pid, number)
        assert workers.seats[0].link is not None
        before = workers.seats[0].link.report
        await until(lambda: workers.seats[0].link and workers.seats[0].link.report is not before)
        assert workers.told()[0]["pid"] == pid


async def test_counts_are_of_all_processes_and_of_those_that_have_ended() -> None:
    async with working() as workers:
        (seat,) = workers.seats
        assert seat.link is not None
        counters = workers.counters()
        report = link.Report(
            {"messages": 5, "updates": 3, "gaps": 1}, [(10, 2)], {"accepted": 4, "timed_out": 1}, 2, 3, 1500, {}
        )
        seat.link.report = report
        assert workers.told()[0]["messages"] == 5
        for ended in (False, True):
            if ended:
                process, lost = seat.process, seat.link
                seat.retire()
                seat.process = process
            summed = workers.counters()
            assert summed["messages"] == counters["messages"] + 5
            assert summed["gaps"] == counters["gaps"] + 1
            assert summed["updates"] == counters["updates"], "each is counted where it is numbered"
            assert workers.latency_buckets() == [(10, 2)]
            assert workers.sockets() == {"timed_out": 1}
        assert lost is not None
        lost.close()
