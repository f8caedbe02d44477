"""Following what an account is worth: shared, throttled, and honest about what is not live."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from decimal import Decimal
from typing import Any

import pytest
from structlog.testing import capture_logs

from gateway.config import PortfolioConfig
from gateway.core.key import Key
from gateway.core.portfolio import Valuation
from gateway.core.private import Treasury
from gateway.errors import TickwireError
from gateway.limits import Limits
from gateway.net import portfolio
from gateway.net.portfolio import Portfolios
from oms.errors import OmsError
from oms.model import Permission, Principal
from oms.valuing import Pair
from tests.gateway.core.holdings_made import LINEAR, SPOT, holdings, position
from tests.gateway.net.fakes import Rig
from tests.gateway.net.treasury import FakeTreasury
from tests.waiting import until

D = Decimal
DAY_NS = 86_400_000_000_000
MAKER = Callable[..., "Scene"]


class Scene:
    """Portfolios by the quotes of a real hub; `BTC/USDT` and its swap are known there."""

    def __init__(self, limits: Limits | None = None, **config: Any) -> None:
        self.rig = Rig(limits or Limits(linger_s=0.0))
        self.treasury = FakeTreasury()
        self.now_ns = 20_000 * DAY_NS + DAY_NS // 2
        wanted: Treasury = self.treasury
        self.portfolios = self.rig.connect_portfolios(wanted, PortfolioConfig(**{"interval_ms": 10, **config}))
        self.portfolios.clock_ns = lambda: self.now_ns
        self.told: list[Valuation] = []
        self.treasury.opening = {SPOT: D(90)}

    def follow(self) -> Callable[[], None]:
        return self.portfolios.follow(1, self.told.append)

    async def quoted(self, price: float, symbol: str = SPOT) -> None:
        """Its quote, as soon as somebody wants it."""
        await until(lambda: Key("sim", "quotes", symbol) in self.rig.sim.watched)
        self.quote(price, symbol)

    def quote(self, price: float, symbol: str = SPOT) -> None:
        self.rig.sim.publish("quotes", symbol, bid=price, ask=price)

    async def until_total(self, total: str) -> Valuation:
        await until(lambda: self.told and self.told[-1].total_value == D(total))
        return self.told[-1]


@pytest.fixture
async def scene() -> AsyncIterator[MAKER]:
    made: list[Scene] = []

    def make(**config: Any) -> Scene:
        made.append(Scene(**config))
        return made[-1]

    yield make
    for each in made:
        await each.portfolios.close()


async def test_a_follower_is_told_what_it_is_worth_and_each_change(scene: MAKER) -> None:
    one = scene()
    one.follow()
    await one.quoted(100)
    first = await one.until_total("300")
    assert (first.stale, first.unvalued, first.account_id) == (False, (), 1)
    await until(lambda: one.told[-1].day_pnl == D(20))
    assert one.treasury.asked == [(SPOT, 20_000 * DAY_NS)]
    one.quote(110)
    await one.until_total("320")
    one.treasury.change(balances={"USDT": "150"}, positions=[])
    await one.until_total("150")


async def test_all_who_watch_share_one_valuation(scene: MAKER) -> None:
    one = scene()
    more: list[Valuation] = []
    end = one.follow()
    await one.quoted(100)
    await one.until_total("300")
    read = one.treasury.read
    other = one.portfolios.follow(1, more.append)
    assert [each.total_value for each in more] == [D(300)], "at once"
    assert (one.treasury.read, len(one.treasury.listeners)) == (read, 1)
    end()
    one.quote(110)
    await until(lambda: more[-1].total_value == D(320))
    assert one.told[-1].total_value == D(300)
    other()
    await until(lambda: not one.treasury.listeners)
    assert one.portfolios.newest(1) is None


async def test_it_is_worth_in_the_currency_that_is_configured(scene: MAKER) -> None:
    one = scene(currency="BTC")
    one.treasury.currency = "BTC"
    one.treasury.now = holdings({"USDT": 100, "BTC": 2}, pairs={"USDT": Pair(SPOT, True)})
    one.follow()
    await one.quoted(50)
    assert (await one.until_total("4")).currency == "BTC"


async def test_a_quote_that_is_lost_is_not_taken_for_live(scene: MAKER) -> None:
    one = scene()
    one.follow()
    await one.quoted(100)
    await one.until_total("300")
    one.rig.hub.lost(Key("sim", "quotes", SPOT), "upstream")
    await until(lambda: one.told[-1].stale)
    assert one.told[-1].total_value == D(300)
    one.quote(100)
    await until(lambda: not one.told[-1].stale)


async def test_what_cannot_be_read_goes_on_as_it_was_and_is_said_to_be_stale(
    scene: MAKER, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(portfolio, "RETRY_S", 0.01)
    one = scene()
    one.follow()
    await one.quoted(100)
    await one.until_total("300")
    for fault in (OmsError("engine_unavailable", "gone"), RuntimeError("a bug")):
        one.treasury.fault = fault
        with capture_logs() as logs:
            one.treasury.change(balances={"USDT": "1"})
            await until(lambda: one.told[-1].stale)
        assert one.told[-1].total_value == D(300)
        assert [each["log_level"] for each in logs][:1] == ["info" if isinstance(fault, OmsError) else "error"]
        one.treasury.fault = None
        one.treasury.change(balances={"USDT": 100, "BTC": 2})
        await until(lambda: not one.told[-1].stale)


@pytest.mark.timed
async def test_changes_come_no_closer_than_the_interval(scene: MAKER) -> None:
    one = scene(interval_ms=200)
    one.follow()
    await one.quoted(100)
    await one.until_total("300")
    before = len(one.told)
    for price in range(101, 151):
        one.quote(price)
        await asyncio.sleep(0)  # a turn of the loop, in which it could be told
    await one.until_total("400")
    assert len(one.told) - before <= 3, "an opening price may have come in between"


async def test_nothing_is_told_when_nothing_changed(scene: MAKER) -> None:
    one = scene()
    one.follow()
    await one.quoted(100)
    await until(lambda: one.told and one.told[-1].day_pnl == D(20))
    told, read = len(one.told), one.treasury.read
    one.quote(100)
    one.treasury.change(balances={"USDT": 100, "BTC": 2})
    await until(lambda: one.treasury.read > read)
    one.treasury.change(balances={"USDT": 101, "BTC": 2})
    await one.until_total("301")
    assert len(one.told) == told + 1


async def test_a_new_day_begins_with_the_prices_of_its_beginning(scene: MAKER) -> None:
    one = scene(day_starts_hour=6, time_zone="America/New_York")
    one.follow()
    await one.quoted(100)
    await until(lambda: one.told and one.told[-1].day_pnl == D(20))
    began_ns = one.told[-1].day_start_ns
    one.now_ns = began_ns + DAY_NS
    one.treasury.change(balances={"USDT": 100, "BTC": 2})
    await until(lambda: one.told[-1].day_start_ns == began_ns + DAY_NS)
    assert one.told[-1].day_pnl == D(0)
    one.quote(105)
    await until(lambda: one.told[-1].day_pnl == D(10))
    assert one.treasury.since_ns[-1] == began_ns + DAY_NS
    assert len(one.treasury.asked) == 1, "what a price was when we were there needs not be asked"


async def test_a_new_day_does_not_begin_with_a_price_that_is_not_live(scene: MAKER) -> None:
    one = scene()
    one.follow()
    await one.quoted(100)
    await until(lambda: one.told and one.told[-1].day_pnl == D(20))
    one.rig.hub.lost(Key("sim", "quotes", SPOT), "upstream")
    await until(lambda: one.told[-1].stale)
    one.now_ns = one.told[-1].day_start_ns + DAY_NS
    one.treasury.change(balances={"USDT": 100, "BTC": 2})
    await until(lambda: one.treasury.asked == [(SPOT, (20_000 + day) * DAY_NS) for day in (0, 1)])


async def test_an_opening_price_that_is_not_had_is_asked_for_again(
    scene: MAKER, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(portfolio, "OPENING_RETRY_S", 0.0)
    one = scene(balance_s=0.01)
    one.treasury.opening = {}
    one.follow()
    await one.quoted(100)
    assert (await one.until_total("300")).opening_unknown == ("BTC",)
    await until(lambda: len(one.treasury.asked) > 1)
    one.treasury.opening = {SPOT: D(80)}
    await until(lambda: one.told[-1].day_pnl == D(40))
    assert one.told[-1].opening_unknown == ()


async def test_symbols_are_watched_while_they_are_held_and_not_more_than_allowed(scene: MAKER) -> None:
    one = scene(limits=Limits(linger_s=0.0, portfolio_symbols_max=1))
    one.treasury.now = one.treasury.now.__class__(
        exchange="sim", positions=(position(LINEAR, "1"),), balances={"BTC": D(1)}, paid={}, realized={},
        contracts=(), pairs=one.treasury.now.pairs,
    )  # fmt: skip
    one.follow()
    await one.quoted(100)
    await until(lambda: one.told and one.told[-1].unvalued == (LINEAR,))
    assert Key("sim", "quotes", LINEAR) not in one.rig.sim.watched
    one.treasury.change(balances={"USDT": "7"}, pairs={})
    await one.until_total("7")
    assert one.portfolios._users == {}


async def test_nothing_is_valued_without_the_prices_that_are_on_their_way(scene: MAKER) -> None:
    """Neither at first nor when something is bought: a part would seem to be all there is."""
    one = scene()
    pairs = {name: Pair(f"{name}/USDT", False) for name in ("BTC", "ETH")}
    one.treasury.change(balances={"USDT": 1, "BTC": 2}, pairs={"BTC": pairs["BTC"]})
    one.follow()
    await one.quoted(100)
    assert (await one.until_total("201")).unvalued == ()
    one.treasury.change(balances={"USDT": 51, "ETH": 5}, pairs={"ETH": pairs["ETH"]})
    await until(lambda: Key("sim", "quotes", "ETH/USDT") in one.rig.sim.watched)
    one.quote(110)
    await one.until_total("221")
    one.quote(10, "ETH/USDT")
    await one.until_total("101")
    assert [each.unvalued for each in one.told] == [()] * len(one.told)
    await until(lambda: list(one.portfolios._users) == [("sim", "ETH/USDT")])


async def test_one_reading_is_waited_for_and_given_up(scene: MAKER) -> None:
    one = scene()
    asking = asyncio.create_task(one.portfolios.now(1))
    await one.quoted(100)
    assert (await asking).total_value == D(300)
    one.treasury.fault = OmsError("engine_unavailable", "gone")
    await until(lambda: not one.treasury.listeners)
    with pytest.raises(TickwireError) as refused:
        await one.portfolios.now(1, timeout_s=0.01)
    assert (refused.value.code, refused.value.retry_after_ms) == ("exchange_unavailable", 1_000)


async def test_who_may_not_see_all_of_an_account_is_refused(scene: MAKER) -> None:
    def code(**permissions: Any) -> str | None:
        who = Principal(user_id=1, user_name="ann", api_key_id=1, permissions=permissions.get("of", {}))
        try:
            portfolios.require(who, 1)
        except TickwireError as error:
            return error.code
        return None

    portfolios: Portfolios = scene().portfolios
    assert code() == "account_not_found"
    assert code(of={1: Permission(account_id=1, strategies=frozenset({2}))}) == "strategy_permission_denied"
    assert code(of={1: Permission(account_id=1)}) is None
