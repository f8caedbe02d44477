"""When runs are made: one at a time, asked for together made once, and what is heard waits for what was missed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from decimal import Decimal

import pytest
from structlog.testing import capture_logs

from oms.errors import OmsError
from oms.keeper import BACKOFF_S, PERIOD_S, Keeper
from oms.model import OrderType, Side
from oms.report import Cause, Report
from oms.venues.base import VenueOrder, VenueTrade
from tests.oms.orders_made import T0_NS, trade


class Runs:
    """Runs that end when the test says so."""

    def __init__(self) -> None:
        self.is_active = True
        self.causes: list[Cause] = []
        self.caught_up: Callable[[], None] = lambda: None
        self.begun = asyncio.Event()
        self.ended: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()

    async def run(self, cause: Cause, on_caught_up: Callable[[], None]) -> Report:
        self.causes.append(cause)
        self.caught_up = on_caught_up
        self.begun.set()
        report = Report(account_id=1, cause=cause, started_ns=0)
        report.error = await self.ended
        return report

    async def end(self, error: str | Exception | None = None) -> None:
        """The run that is under way, or that begins next."""
        await self.begun.wait()
        self.begun.clear()
        ended, self.ended = self.ended, asyncio.get_running_loop().create_future()
        if isinstance(error, Exception):
            ended.set_exception(error)
        else:
            ended.set_result(error)
        for _ in range(3):  # the run, the keeper, and who waits for it
            await asyncio.sleep(0)


class Timers:
    """`call_later` by hand: at most one is set."""

    def __init__(self) -> None:
        self.delay_s: float | None = None
        self.call: Callable[[], None] = lambda: None

    def later(self, delay_s: float, call: Callable[[], None]) -> Timers:
        assert self.delay_s is None
        self.delay_s, self.call = delay_s, call
        return self

    def cancel(self) -> None:
        self.delay_s = None

    def fire(self) -> None:
        assert self.delay_s is not None
        self.delay_s = None
        self.call()


class Heard:
    """The desk's ear."""

    def __init__(self) -> None:
        self.said: list[VenueOrder | VenueTrade | bool] = []

    def on_order(self, order: VenueOrder) -> None:
        self.said.append(order)

    def on_trade(self, trade: VenueTrade) -> None:
        self.said.append(trade)

    def on_stream(self, connected: bool) -> None:
        self.said.append(connected)


class Scene:
    def __init__(self) -> None:
        self.runs, self.timers, self.heard = Runs(), Timers(), Heard()
        self.keeper = Keeper(self.runs, self.heard, later=self.timers.later)

    def begin(self) -> asyncio.Task[Report]:
        """The venue is started, and so is the first run."""
        self.keeper.on_stream(True)
        return asyncio.create_task(self.keeper.request(Cause.START))


@pytest.fixture
async def scene() -> Scene:
    return Scene()


ORDER = VenueOrder(
    exchange_order_id="x1", client_order_id=None, symbol="BTC/USDT", side=Side.BUY, order_type=OrderType.LIMIT,
    qty=Decimal(1), price=Decimal(100), status="open", filled=Decimal(0), average_price=None, time_ns=T0_NS, raw={},
)  # fmt: skip


async def test_what_is_asked_for_together_is_one_run_and_what_comes_meanwhile_is_one_more(scene: Scene) -> None:
    first = [asyncio.create_task(scene.keeper.request(cause)) for cause in (Cause.REQUEST, Cause.START)]
    await scene.runs.begun.wait()
    later = [asyncio.create_task(scene.keeper.request()) for _ in range(3)]
    await asyncio.sleep(0)
    assert scene.runs.causes == [Cause.START]
    await scene.runs.end()
    assert {id(report) for report in await asyncio.gather(*first)} == {id(first[0].result())}
    assert not any(task.done() for task in later)
    await scene.runs.end()
    await asyncio.gather(*later)
    assert scene.runs.causes == [Cause.START, Cause.REQUEST]
    await scene.keeper.stop()


async def test_who_gives_up_waiting_ends_no_run(scene: Scene) -> None:
    waiting = asyncio.create_task(scene.keeper.request())
    await scene.runs.begun.wait()
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await scene.runs.end()
    assert scene.keeper.is_ready
    await scene.keeper.stop()


async def test_an_active_account_is_looked_at_every_period_and_another_is_not(scene: Scene) -> None:
    scene.begin()
    await scene.runs.end()
    assert scene.timers.delay_s == PERIOD_S
    scene.timers.fire()
    await scene.runs.end()
    scene.runs.is_active = False
    scene.timers.fire()
    assert scene.timers.delay_s == PERIOD_S
    assert not scene.runs.begun.is_set()
    scene.runs.is_active = True
    scene.timers.fire()
    await scene.runs.end()
    assert scene.runs.causes == [Cause.START, Cause.PERIODIC, Cause.PERIODIC]
    await scene.keeper.stop()


async def test_a_run_that_failed_is_made_again_soon_and_looks_at_as_much(scene: Scene) -> None:
    scene.runs.is_active = False
    asked = asyncio.create_task(scene.keeper.request(Cause.START))
    for delay_s in (*BACKOFF_S, BACKOFF_S[-1]):
        await scene.runs.end("the venue is away")
        assert scene.timers.delay_s == delay_s
        assert not scene.keeper.is_ready
        scene.timers.fire()
    assert not (await asked).ok
    await scene.runs.end()
    assert set(scene.runs.causes) == {Cause.START}
    assert scene.keeper.is_ready
    assert scene.timers.delay_s == PERIOD_S
    await scene.keeper.stop()


async def test_a_database_that_is_away_is_no_fault_of_a_run(scene: Scene) -> None:
    """It is said once, by who runs the desk, and not with a traceback for each account and run."""
    with capture_logs() as logs:
        asked = asyncio.create_task(scene.keeper.request())
        await scene.runs.end(ConnectionRefusedError("away"))
        with pytest.raises(ConnectionRefusedError):
            await asked
    assert {line["log_level"] for line in logs} == {"info"}
    assert scene.timers.delay_s == BACKOFF_S[0]
    await scene.keeper.stop()


async def test_a_fault_of_ours_is_told_to_who_asked_and_ends_nothing(scene: Scene) -> None:
    asked = asyncio.create_task(scene.keeper.request())
    await scene.runs.end(RuntimeError("a fault"))
    with pytest.raises(RuntimeError, match="a fault"):
        await asked
    assert scene.timers.delay_s == BACKOFF_S[0]
    scene.timers.fire()
    await scene.runs.end()
    assert scene.keeper.is_ready
    await scene.keeper.stop()


async def test_what_is_heard_waits_for_what_was_missed(scene: Scene) -> None:
    keeper, heard = scene.keeper, scene.heard
    scene.begin()
    keeper.on_order(ORDER)
    await scene.runs.begun.wait()
    keeper.on_trade(trade())
    assert heard.said == [True]
    scene.runs.caught_up()
    assert heard.said == [True, ORDER, trade()]
    keeper.on_trade(trade("t2"))
    assert heard.said[-1] == trade("t2")
    assert not keeper.is_live
    await scene.runs.end()
    assert keeper.is_live
    keeper.on_stream(False)
    assert not keeper.is_live
    keeper.on_stream(True)
    keeper.on_trade(trade("t3"))
    assert heard.said[-1] is True
    await scene.runs.end()
    assert heard.said[-1] == trade("t3")
    assert scene.runs.causes == [Cause.START, Cause.RECONNECT]
    await keeper.stop()


async def test_a_run_that_began_before_the_stream_was_lost_again_catches_up_with_nothing(scene: Scene) -> None:
    keeper, heard = scene.keeper, scene.heard
    scene.begin()
    await scene.runs.begun.wait()
    keeper.on_stream(False)
    keeper.on_stream(True)
    keeper.on_trade(trade())
    scene.runs.caught_up()
    await scene.runs.end()
    assert heard.said == [True, False, True]
    assert not keeper.is_live
    await scene.runs.end()
    assert heard.said[-1] == trade()
    assert keeper.is_live
    await keeper.stop()


@pytest.mark.parametrize("error", ["the venue is away", RuntimeError("a fault")])
async def test_what_is_heard_does_not_wait_for_a_run_that_failed(scene: Scene, error: str | Exception) -> None:
    asked = scene.begin()
    scene.keeper.on_trade(trade())
    await scene.runs.end(error)
    await asyncio.wait([asked])
    assert (asked.exception() is error) == isinstance(error, Exception)
    assert scene.heard.said == [True, trade()]
    assert not scene.keeper.is_live
    await scene.keeper.stop()


async def test_stopping_breaks_off_and_tells_who_waits(scene: Scene) -> None:
    running = asyncio.create_task(scene.keeper.request())
    await scene.runs.begun.wait()
    waiting = asyncio.create_task(scene.keeper.request())
    await asyncio.sleep(0)
    await scene.keeper.stop()
    for task in (running, waiting):
        with pytest.raises(OmsError, match="stopped"):
            await task
    with pytest.raises(OmsError, match="stopped"):
        await scene.keeper.request()
    assert scene.timers.delay_s is None
