"""What the compiled client holds against what: streams of books and throttled ones, and each against the furthest."""

from __future__ import annotations

import asyncio
import json
import math
from dataclasses import replace

import pytest
from websockets.asyncio.server import ServerConnection

from loadtest.swarm import subscribe
from tests.loadtest.told import ALONE, PATIENT_S, book, gap, says, seen, seen_apart, serving, update
from tests.waiting import until

TEN = [update(n) for n in range(1, 11)]
RENEWED = [*TEN, gap(11, 10, new_epoch="e2"), *(update(n, epoch="e2") for n in range(1, 4))]


@pytest.mark.parametrize(
    ("readers", "behind", "silent"),
    [
        ((TEN, TEN, TEN), 0, 0),
        ((TEN, TEN[:4], TEN), 6, 0),  # nothing came after its fourth
        ((TEN, TEN, []), 10, 1),
        (([], [], []), 0, 0),  # nothing was due
        ((TEN, [*TEN[:4], gap(5, 10)], TEN), 0, 0),  # it was told
        ((RENEWED, RENEWED, TEN), 3, 0),  # it was not told, and has none of the new numbers
        ((RENEWED, TEN, []), 6, 1),
        ((RENEWED, RENEWED, RENEWED), 0, 0),
    ],
)
async def test_a_stream_that_falls_silent_is_behind_those_of_others(
    readers: tuple[list[str], ...], behind: int, silent: int
) -> None:
    figures = await seen_apart(readers, replace(ALONE, drain_s=0.0))
    assert (figures["behind"], figures["silent"]) == (behind, silent)
    assert figures["behind_to_readers"] == behind
    assert figures["unannounced"] == 0  # a hole shows only when something comes after it


async def test_those_who_come_and_go_are_behind_apart_from_those_who_read() -> None:
    figures = await seen_apart([TEN, TEN[:4]], replace(ALONE, drain_s=0.0, resubscribing=2))
    assert (figures["behind"], figures["behind_to_readers"]) == (6, 0)


async def test_what_is_under_way_when_the_measurement_ends_is_waited_for() -> None:
    ended, unequal = asyncio.Event(), iter((10, 4))

    async def script(connection: ServerConnection) -> None:
        await connection.recv()
        at = next(unequal)
        for frame in TEN[:at]:
            await connection.send(frame)
        if at < 10:
            await ended.wait()
        for frame in TEN[at:]:
            await connection.send(frame)

    async with serving(script) as server:
        words = replace(ALONE, port=server.port, conns=2, drain_s=PATIENT_S).command()
        swarming = await asyncio.create_subprocess_exec(*words, stdout=asyncio.subprocess.PIPE)
        await until(lambda: server.have_read == 1)
        swarming.terminate()
        ended.set()
        out, _ = await swarming.communicate()
    figures = json.loads(out.splitlines()[-1])
    assert (figures["behind"], figures["silent"], figures["unannounced"]) == (0, 0, 0)


async def test_a_throttled_stream_s_wait_is_counted_apart() -> None:
    throttled = replace(ALONE, messages=(subscribe(["BTC/USDT"], throttle_ms=250),))
    frames = [update(n).replace('"t_ex":null', '"t_ex":1') for n in range(1, 11)]
    apart = await seen(says(frames), replace(throttled, apart=True))
    assert math.isnan(apart["p50_ms"])
    assert apart["throttled_p50_ms"] == pytest.approx(apart["out_p50_ms"] + 5, rel=0.1)
    assert (apart["msgs"], apart["with_ex"]) == (10, 0)
    for asked in (throttled, replace(ALONE, apart=True)):
        one = await seen(says(frames), asked)
        assert (one["with_ex"], one["p50_ms"] > 0) == (10, True)
        assert math.isnan(one["throttled_p50_ms"])


@pytest.mark.parametrize(
    ("frames", "misfit"),
    [
        ([book(1, 0, kind="snapshot"), book(2, 1), book(3, 2)], 0),
        ([book(1, 0, kind="snapshot"), book(2, 1), book(3, 1)], 1),
        ([book(1, 0, kind="snapshot"), book(5, 7, kind="snapshot"), book(6, 5)], 0),
        ([book(3, 1)], 0),  # nothing is known of what was before
        ([book(1, 0, kind="snapshot"), book(2, None), book(3, 2)], 1),
    ],
)
async def test_an_update_of_a_book_names_the_number_it_is_applied_to(frames: list[str], misfit: int) -> None:
    assert (await seen(says(frames)))["misfit"] == misfit


async def test_what_came_and_what_did_not_is_told_by_the_message_that_asked() -> None:
    asked = replace(ALONE, messages=(subscribe(["S0"]), subscribe(["BTC/USDT"])))
    figures = await seen(says([update(1), gap(2, 3), update(4), update(9), update(1, symbol="S9")]), asked)
    assert (figures["msgs"], figures["msgs_of_0"], figures["msgs_of_1"]) == (4, 0, 3)  # nobody asked for the last
    assert (figures["announced_of_1"], figures["unannounced_of_1"], figures["behind_of_1"]) == (2, 4, 0)
    apart = await seen_apart([TEN, TEN[:4]], replace(ALONE, drain_s=0.0))
    assert apart["behind_of_0"] == 6
