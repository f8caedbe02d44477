"""The compiled client against a server that says what the test wants: what it counts, and what it calls a loss."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import random
import time
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from loadtest.swarm import Swarm, ToolError, subscribe
from tests.loadtest.told import ALONE, PATIENT_S, audited, gap, measured, says, seen, serving, update
from tests.waiting import until


async def test_contiguous_numbers_are_no_loss() -> None:
    figures = await seen(says(update(n) for n in range(5, 25)))
    assert (figures["msgs"], figures["unannounced"], figures["repeated"], figures["streams"]) == (20, 0, 0, 1)
    assert figures["alive"] == figures["conns"] == 1
    assert figures["min_per_conn"] == figures["max_per_conn"] == 20


async def test_each_frame_is_in_a_bucket_of_its_latency() -> None:
    figures, buckets = await measured(says(update(number) for number in range(100, 130)))
    assert sum(count for _us, count in buckets) == figures["msgs"] == 30
    assert [us for us, _count in buckets] == sorted(us for us, _count in buckets)
    assert buckets[0][0] >= 5_000  # the stamp is 5 ms old, and a bucket goes by its upper edge
    assert buckets[-1][0] <= 1e3 * figures["max_ms"]


async def test_latency_is_taken_from_both_stamps() -> None:
    figures = await seen(says(update(n) for n in range(10)))
    assert figures["p50_ms"] == pytest.approx(figures["out_p50_ms"] + 5, rel=0.1)


@pytest.mark.parametrize(
    ("frames", "announced", "unannounced", "repeated"),
    [
        ([update(1), update(4)], 0, 2, 0),
        ([update(1), gap(2, 3), update(4)], 2, 0, 0),
        ([update(1), gap(3, 3), update(4)], 1, 1, 0),
        ([update(1), gap(2, 2), update(4)], 1, 1, 0),
        ([update(1), update(1), update(2)], 0, 0, 1),
        ([update(2), update(1)], 0, 0, 1),
        ([update(2), update(2, kind="snapshot"), update(3)], 0, 0, 0),
        ([update(7), update(1, epoch="e2"), update(2, epoch="e2")], 0, 1, 0),  # nobody said that the epoch ended
        ([gap(1, 4), update(5), update(6)], 0, 0, 0),  # what was lost before we listened is not ours
    ],
)
async def test_every_missing_number_is_announced_or_counted(
    frames: list[str], announced: int, unannounced: int, repeated: int
) -> None:
    figures = await seen(says(frames))
    assert (figures["announced"], figures["unannounced"], figures["repeated"]) == (announced, unannounced, repeated)


async def test_an_announced_epoch_begins_at_one() -> None:
    figures = await seen(says([update(7), gap(8, 8, new_epoch="e2"), update(1, epoch="e2"), update(2, epoch="e2")]))
    assert (figures["epochs"], figures["announced"], figures["unannounced"]) == (1, 0, 0)
    figures = await seen(says([update(7), gap(8, 8, new_epoch="e2"), update(3, epoch="e2")]))
    assert (figures["epochs"], figures["announced"], figures["unannounced"]) == (1, 0, 2)
    assert (await seen(says([update(7), gap(9, 9, new_epoch="e2")])))["unannounced"] == 1


async def test_a_slow_reader_is_told_apart_from_those_who_read() -> None:
    frames = [update(1), gap(2, 5), *map(update, range(6, 40))]
    figures = await audited(frames, replace(ALONE, conns=3, slow=2, audit_s=PATIENT_S))
    assert (figures["announced"], figures["announced_to_readers"]) == (12, 4)
    assert (figures["unannounced"], figures["readers_alive"]) == (0, 1)
    assert figures["msgs"] == figures["min_per_conn"] == 35


async def test_what_is_measured_is_told_meanwhile() -> None:
    more, began_s = asyncio.Semaphore(0), time.time() - 0.001  # it is told to the ms

    async def script(connection: ServerConnection) -> None:
        await connection.recv()
        for number in range(1, 41):
            await more.acquire()
            frame = update(number + 5 * (number > 20))
            await connection.send(frame.replace('"t_ex":null', f'"t_ex":{time.time_ns() // 1_000_000}'))

    async with serving(script) as server:
        words = replace(ALONE, port=server.port, tell_every_ms=20).command()
        swarming = await asyncio.create_subprocess_exec(*words, stdout=asyncio.subprocess.PIPE)
        assert swarming.stdout is not None
        assert json.loads(await swarming.stdout.readline()) == {"up": 1}
        told: list[dict[str, Any]] = []
        for goal in range(0, 41, 5):  # in each line, what came since the one before
            while sum(count for line in told for _us, count in line["since_us"]) < goal or not told:
                told.append(json.loads(await asyncio.wait_for(swarming.stdout.readline(), PATIENT_S)))
            for _ in range(5):
                more.release()
        swarming.terminate()
        out, _ = await swarming.communicate()
    *late, buckets, figures = (json.loads(line) for line in out.splitlines())
    assert all(line["since_us"] == [] for line in late)
    assert sum(count for line in told for _us, count in line["since_us"]) == figures["msgs"] == 40
    assert sum(count for _us, count in buckets["histogram_us"]) == 40
    assert all(former["until_s"] == line["from_s"] for former, line in pairwise(told))
    assert began_s <= told[0]["from_s"] <= told[-1]["until_s"] <= time.time()
    assert sum(count for line in told for _us, count in line["since_ex_us"]) == figures["with_ex"] == 40
    assert (told[0]["unannounced"], told[-1]["unannounced"], told[-1]["alive"]) == (0, 5, 1)


class Numbered:
    """Goes on numbering where a client that resumes was, skipping nothing; keeps what was asked."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.told = 0  # how often somebody who subscribed has read some updates

    async def talk(self, connection: ServerConnection) -> None:
        telling: asyncio.Task[None] | None = None
        try:
            async for raw in connection:
                request = json.loads(raw)
                self.asked.append(request)
                if telling is not None:
                    telling.cancel()
                if request["action"] == "unsubscribe":
                    said: dict[str, Any] = {"type": "unsubscribed", "id": "1", "channel": "quotes"}
                    said["data"] = {"symbols": ["BTC/USDT"], "errors": {}}
                    await connection.send(json.dumps(said, separators=(",", ":")))
                else:
                    telling = asyncio.create_task(self.tell(connection, request))
        except ConnectionClosed:
            pass  # they come and go
        if telling is not None:
            telling.cancel()

    async def tell(self, connection: ServerConnection, request: dict[str, Any]) -> None:
        at = request.get("resume", {}).get("BTC/USDT", {}).get("sequence")
        stream = {"epoch": "e1", "sequence": at or 0, "recovered": True if at else None}
        acked = {"type": "subscribed", "data": {"streams": {"BTC/USDT": stream}}}
        await connection.send(json.dumps(acked, separators=(",", ":")))
        for count, number in enumerate(range(at + 1 if at else random.randrange(1, 1_000_000), 10**9)):
            await connection.send(update(number))
            if count == 3:
                await (await connection.ping())
                self.told += 1
            await asyncio.sleep(0.02)


async def test_who_comes_and_goes_misses_nothing() -> None:
    numbered = Numbered()
    asked = replace(ALONE, conns=7, reconnecting=2, resuming=2, resubscribing=2)
    async with serve(numbered.talk, "127.0.0.1", 0, compression=None) as listening:
        measuring = replace(asked, port=next(iter(listening.sockets)).getsockname()[1]).measuring()
        ended = await asyncio.to_thread(measuring.__enter__)
        try:
            await until(lambda: numbered.told == 7 + 4 + 2)  # they do so again two seconds later
            figures, _ = await asyncio.to_thread(ended)
        finally:
            await asyncio.to_thread(measuring.__exit__, None, None, None)
    assert figures["reconnected"] == figures["reconnects"] == 4
    assert figures["resubscribed"] == 2
    assert (figures["unannounced"], figures["repeated"], figures["readers_alive"]) == (0, 0, 1)
    assert [request["action"] for request in numbered.asked].count("unsubscribe") == 2
    resumes = [request["resume"]["BTC/USDT"] for request in numbered.asked if "resume" in request]
    assert len(resumes) == figures["resumed"] == 2  # the others begin anew
    assert all(position["epoch"] == "e1" and position["sequence"] > 0 for position in resumes)
    assert figures["msgs"] == figures["min_per_conn"] > 0  # latency and rates are of who stays


async def test_what_is_not_resumed_is_told_apart_from_an_epoch_that_has_ended() -> None:
    were_told = set()

    async def script(connection: ServerConnection) -> None:
        request = json.loads(await connection.recv())
        (symbol,) = request["symbols"]
        stream = {"epoch": "e1", "sequence": 5, "recovered": None}
        if "resume" in request:
            stream = {"epoch": {"S0": "e1", "S1": "e2"}[symbol], "sequence": 5, "recovered": False}
        acked = {"type": "subscribed", "id": "1", "channel": "quotes"}
        data = {"data": {"streams": {symbol: stream}, "errors": {}}}
        await connection.send(json.dumps(acked | data, separators=(",", ":")))
        await connection.send(update(6, symbol=symbol))
        await (await connection.ping())
        if "resume" in request:
            were_told.add(symbol)

    asked = replace(ALONE, conns=2, resuming=2, messages=(subscribe(["S%d"]),))
    async with serving(script) as server:
        measuring = replace(asked, port=server.port).measuring()
        ended = await asyncio.to_thread(measuring.__enter__)
        try:
            await until(lambda: were_told == {"S0", "S1"})
            figures, _ = await asyncio.to_thread(ended)
        finally:
            await asyncio.to_thread(measuring.__exit__, None, None, None)
    assert figures["not_recovered"] >= 1
    assert figures["too_late"] >= 1
    assert figures["resumed"] == 0


async def test_a_percentile_of_nothing_is_no_number() -> None:
    figures = await seen(says([]))
    assert math.isnan(figures["p99_ms"])
    assert math.isnan(figures["reply_p99_ms"])
    assert figures["handshake_p99_ms"] > 0


async def test_latency_from_the_exchange_s_time_is_of_frames_that_have_one() -> None:
    began_s = time.monotonic()
    timed = [update(n).replace('"t_ex":null', f'"t_ex":{time.time_ns() // 1_000_000 - 250}') for n in range(1, 11)]
    figures = await seen(says([*timed, *map(update, range(11, 14))]))
    most_ms = 251 + (time.monotonic() - began_s) * 1e3
    assert (figures["with_ex"], figures["msgs"]) == (10, 13)
    assert 249 <= figures["ex_p50_ms"] <= most_ms * 33 / 32  # the stamp is cut to ms, a bucket 3 % wide


async def test_names_are_counted_from_where_it_is_said() -> None:
    asked: list[str] = []

    async def script(connection: ServerConnection) -> None:
        asked.append(json.loads(await connection.recv())["symbols"][0])

    wanted = replace(ALONE, conns=4, index_modulus=2, index_first=11, messages=(subscribe(["SIM%04d/USDT"]),))
    await seen(script, wanted)
    assert sorted(asked) == ["SIM0011/USDT", "SIM0011/USDT", "SIM0012/USDT", "SIM0012/USDT"]


async def test_streams_of_one_connection_are_checked_apart() -> None:
    symbols = [f"S{n}/USDT" for n in range(40)]
    figures = await seen(says(update(n, symbol=symbol) for n in range(3) for symbol in symbols))
    assert (figures["streams"], figures["msgs"], figures["unannounced"], figures["repeated"]) == (40, 120, 0, 0)


async def test_refused_subscriptions_are_counted() -> None:
    refused = {
        "type": "subscribed",
        "data": {"streams": {}, "errors": {"x:A/B": "rate_limited", "C": "unknown_symbol"}},
    }
    served = {"type": "subscribed", "data": {"streams": {"D": {"epoch": "e1", "sequence": 1}}, "errors": {}}}
    said = [refused, served, {"type": "error", "code": "validation_error", "message": "no"}]
    figures = await seen(says(json.dumps(frame, separators=(",", ":")) for frame in said))
    assert figures["refused"] == 3
    assert (await seen(says([update(1)])))["refused"] == 0


async def test_a_snapshot_is_no_update() -> None:
    assert (await seen(says([update(1, kind="snapshot"), update(2)])))["msgs"] == 1


async def test_a_stalled_reader_reads_again_and_is_held_to_account() -> None:
    frames = [update(n) for n in range(2000)]
    del frames[1500:1600]
    figures = await audited(frames, replace(ALONE, conns=2, stalled=1, audit_s=PATIENT_S))
    assert figures["unannounced"] == 2 * 100
    assert figures["max_per_conn"] == 1900  # only those who read are counted here
    assert (figures["behind"], figures["silent"]) == (0, 0)  # nor is it behind before it reads again


async def test_the_index_is_spread_over_a_modulus() -> None:
    asked: list[str] = []

    async def listen(connection: ServerConnection) -> None:
        asked.append(json.loads(await connection.recv())["symbols"][0])

    await seen(listen, replace(ALONE, conns=5, messages=(subscribe(["S%d"]),), index_modulus=2))
    assert sorted(asked) == ["S0", "S0", "S0", "S1", "S1"]


async def test_messages_are_dealt_out_in_hands() -> None:
    messages = (subscribe(["A"]), subscribe(["B"]))
    assert await all_asked(replace(ALONE, conns=5, messages=messages, deal=1)) == [["A"], ["A"], ["A"], ["B"], ["B"]]
    assert await all_asked(replace(ALONE, conns=2, messages=messages)) == [["A", "B"], ["A", "B"]]
    hands = (*messages, subscribe(["C"]), subscribe(["D"]))
    assert await all_asked(replace(ALONE, conns=3, messages=hands, deal=2)) == [["A", "B"], ["A", "B"], ["C", "D"]]
    with pytest.raises(ToolError, match="no hands of 3"):
        replace(ALONE, messages=messages, deal=3).command()


async def all_asked(swarming: Swarm) -> list[list[str]]:
    """The symbols that each connection asks for until its end."""
    asked: list[list[str]] = []
    hearing: list[asyncio.Task[None]] = []

    async def hear(connection: ServerConnection, mine: list[str]) -> None:
        with contextlib.suppress(ConnectionClosed):
            async for text in connection:
                mine += json.loads(text)["symbols"]

    async def listen(connection: ServerConnection) -> None:
        asked.append([])
        hearing.append(asyncio.create_task(hear(connection, asked[-1])))

    await seen(listen, swarming)
    await asyncio.gather(*hearing)
    return sorted(asked)


async def test_a_refused_handshake_is_counted() -> None:
    async with serve(says([]), "127.0.0.1", 0, process_request=lambda c, _r: c.respond(503, "no")) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        figures = await asyncio.to_thread(replace(ALONE, port=port, seconds=0.1).run)
    assert (figures["failed"], figures["alive"]) == (1, 0)


async def test_a_handshake_that_is_never_answered_is_given_up_and_counted() -> None:
    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionResetError):
            await reader.read()
        writer.close()

    async with await asyncio.start_server(say_nothing, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        asked = replace(ALONE, port=port, conns=3, seconds=0.1, handshake_timeout_s=0.2)
        figures = await asyncio.to_thread(asked.run)
    assert (figures["given_up"], figures["failed"], figures["alive"]) == (3, 3, 0)


async def test_what_the_client_got_of_its_core_is_told_with_the_rest() -> None:
    figures = await seen(says(update(n) for n in range(5)))
    assert figures["client_cpu"] >= 0
    assert figures["client_waited"] >= 0


async def test_what_is_done_meanwhile_begins_when_all_are_up() -> None:
    open_now: set[ServerConnection] = set()
    seen_meanwhile: list[int] = []

    async def hold(connection: ServerConnection) -> None:
        open_now.add(connection)
        await connection.wait_closed()

    async with serving(hold) as server:
        asked = replace(ALONE, port=server.port, conns=7, warmup_s=0.5, seconds=60.0)
        measuring = asked.measuring(lambda: seen_meanwhile.append(len(open_now)))
        ended = await asyncio.to_thread(measuring.__enter__)
        try:
            assert seen_meanwhile == [7]
            figures, _buckets = await asyncio.to_thread(ended)
        finally:
            await asyncio.to_thread(measuring.__exit__, None, None, None)
    assert figures["alive"] == 7
