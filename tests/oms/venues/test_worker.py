"""A thread for calls that block: awaited, given up in time, and ended."""

from __future__ import annotations

import asyncio
import threading

import pytest

from oms.venues.worker import Worker
from tests.waiting import until


def threads(name: str) -> int:
    return sum(each.name == name for each in threading.enumerate())


async def test_calls_run_one_after_the_other_in_one_thread_that_is_not_the_loop_s() -> None:
    worker = Worker("w-order")
    ran = await asyncio.gather(*(worker.run(threading.get_ident, 5) for _ in range(3)))
    assert len(set(ran)) == 1
    assert ran[0] != threading.get_ident()
    worker.close()
    await until(lambda: not threads("w-order"))


async def test_what_a_call_raises_is_raised() -> None:
    worker = Worker("w-raise")

    def fail() -> None:
        raise EOFError("gone")

    with pytest.raises(EOFError, match="gone"):
        await worker.run(fail, 5)
    assert await worker.run(lambda: 7, 5) == 7, "and it goes on"
    worker.close()


async def test_a_call_that_hangs_is_given_up_and_the_loop_never_waits() -> None:
    worker, gate, ended = Worker("w-hang"), threading.Event(), threading.Event()
    with pytest.raises(TimeoutError):
        await worker.run(lambda: gate.wait(20), 0.02)
    worker.close(ended.set)
    assert threads("w-hang") == 1
    gate.set()
    await until(lambda: not threads("w-hang"))
    assert ended.is_set(), "what is to be done last is done behind it"


async def test_without_a_call_there_is_no_thread_to_end() -> None:
    worker, done = Worker("w-idle"), threading.Event()
    worker.close(done.set)
    assert (threads("w-idle"), done.is_set()) == (0, False)


def test_a_loop_that_is_gone_is_not_told() -> None:
    worker, gate = Worker("w-late"), threading.Event()

    async def give_up() -> None:
        with pytest.raises(TimeoutError):
            await worker.run(lambda: gate.wait(20), 0.02)

    asyncio.run(give_up())
    gate.set()
    worker.close()
    thread = worker._thread
    assert thread is not None
    thread.join(5)
    assert not thread.is_alive()
