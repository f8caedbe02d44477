"""The pro driver against a running gateway in front of the simulated exchange: watching, trading, and bad lines."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from typing import Any

import pytest
from ccxt.base.errors import AccountNotEnabled, BadSymbol

from tests.driver.proxy import Fault, faulty
from tests.e2e.ordering import Ordering
from tests.e2e.pro_programs import BTC, Program, fills_of, program, told_of

BURST = 300


def config_of(gateway: Ordering, port: int | None = None, **options: Any) -> dict[str, Any]:
    given = {"account_id": 1, "retries": {"tries": 50, "delay_ms": 5, "delay_ms_max": 50}, **options}
    hostname = f"127.0.0.1:{port or gateway.app.port}"
    return {"apiKey": gateway.keys["ann"], "hostname": hostname, "enableRateLimit": False, "options": given}


async def ledger(gateway: Ordering) -> dict[str, Any]:
    return dict(await gateway.exchange.get("/admin/ledger", account="ann"))


async def test_everything_is_watched_over_one_connection(gateway_with_orders: Ordering) -> None:
    gateway = gateway_with_orders
    async with program(config_of(gateway)) as made:
        exchange = made.exchange
        ticker = await exchange.watch_ticker(BTC)
        assert (ticker["symbol"], ticker["low"] <= ticker["last"] <= ticker["high"]) == (BTC, True)
        assert ticker["last"] - ticker["open"] == pytest.approx(ticker["change"])
        assert (await exchange.watch_bids_asks([BTC]))[BTC]["bid"] is not None
        book = await exchange.watch_order_book(BTC, 20)
        assert len(book["bids"]) <= 20
        assert book["bids"][0][0] < book["asks"][0][0]
        (trade, *_) = await exchange.watch_trades(BTC)
        assert (trade["symbol"], trade["side"] in {"buy", "sell"}) == (BTC, True)
        (candle, *_) = await exchange.watch_ohlcv(BTC, "1s")
        assert len(candle) == 6
        assert exchange.ohlcvs[BTC]["1s"]
        assert "BTC" in (await exchange.watch_balance())["total"]
        assert gateway.app.streams.sessions.connections() == 1
        assert await exchange.un_watch_order_book(BTC)
        assert BTC not in exchange.orderbooks
        with pytest.raises(BadSymbol):
            await exchange.watch_ticker("NO/SUCH")


async def test_an_order_and_what_comes_of_it_is_watched(gateway_with_orders: Ordering) -> None:
    async with program(config_of(gateway_with_orders)) as made:
        exchange = made.exchange
        made.run(made.my_orders, made.my_trades)
        await made.until(lambda: len(exchange.hub.watches) == 2 and all(
            stream.is_live for stream in exchange.hub.streams.by_key.values()
        ))  # fmt: skip
        resting = await exchange.create_order_ws(BTC, "limit", "buy", 0.01, 50_000)
        assert resting["status"] == "open"
        edited = await exchange.edit_order_ws(resting["id"], BTC, "limit", "buy", 0.02, 50_001)
        assert (edited["id"], edited["amount"]) == (resting["id"], 0.02)
        assert (await exchange.cancel_order_ws(resting["id"], BTC))["status"] == "canceled"
        bought = await exchange.create_market_buy_order_ws(BTC, 0.2)
        assert (bought["status"], bought["filled"]) == ("closed", 0.2)
        await made.until(lambda: made.orders.get(bought["id"], [""])[-1] == "closed")
        await made.until(lambda: sum(fill["amount"] for fill in made.fills) > 0.1999)
        assert made.orders[resting["id"]][-1] == "canceled"
        assert {fill["order"] for fill in made.fills} == {bought["id"]}
        (position,) = await exchange.watch_positions([BTC])
        assert (position["side"], position["contracts"]) == ("long", pytest.approx(0.1998))
        assert await exchange.cancel_all_orders_ws(BTC) == []
        several = [{"symbol": BTC, "type": "limit", "side": "buy", "amount": 0.01, "price": 50_000}] * 2
        assert [order["status"] for order in await exchange.create_orders_ws(several)] == ["open", "open"]
        assert [order["status"] for order in await exchange.cancel_all_orders_ws(BTC)] == ["canceled", "canceled"]
        held = next(order for order in exchange.orders if order["id"] == bought["id"])
        assert held["fee"]["currency"] == "BTC"


async def test_every_watcher_that_begins_is_told_what_is_open(gateway_with_orders: Ordering) -> None:
    async with program(config_of(gateway_with_orders)) as made:
        exchange = made.exchange
        await exchange.create_market_buy_order(BTC, 0.01)

        async def told(*symbols: str) -> Any:
            async with asyncio.timeout(20):
                positions = await exchange.watch_positions(list(symbols))
            return [(each["side"], each["contracts"]) for each in positions]

        held = [("long", pytest.approx(0.00999))]
        await exchange.watch_balance()  # it has the positions subscribed for itself
        assert await told() == held
        assert await told(BTC) == held, "beside one who watches all"
        await exchange.un_watch_positions()
        assert await told() == held
        await exchange.un_watch_positions([BTC])
        await exchange.un_watch_balance()
        await exchange.un_watch_positions()
        assert await told(BTC) == held, "of a stream that was left in the same turn"
        await exchange.close()
        assert await told() == held
        await exchange.close()
        async with program(config_of(gateway_with_orders)) as other:
            await other.exchange.create_market_sell_order(BTC, 0.005)
        while await told() != [("long", pytest.approx(0.00499))]:
            pass  # what happened meanwhile may come in a call of its own


async def test_the_account_of_somebody_else_is_refused(gateway_with_orders: Ordering) -> None:
    async with program(config_of(gateway_with_orders, account_id=1)) as made:
        made.exchange.options |= {"account_id": 2, "exchange": "sim"}
        with pytest.raises(AccountNotEnabled):
            await made.exchange.watch_orders()


async def test_in_a_burst_between_two_calls_nothing_is_lost(gateway_with_orders: Ordering) -> None:
    """Fills and trades of the market, all of which happen while the program does something else."""
    gateway = gateway_with_orders
    async with program(config_of(gateway)) as made:
        exchange = made.exchange
        made.run(made.my_trades, made.trades)
        await made.until(lambda: "trades" in made.seen)
        await made.exchange.create_order_ws(BTC, "market", "buy", 0.001)
        await made.until(lambda: made.fills)
        await made.stop()
        made.fills.clear()
        before = len((await ledger(gateway))["fills"])
        for number in range(BURST // 3):
            await gateway.market("BUY" if number % 2 else "SELL", "0.002")
        asked = [exchange.create_order_ws(BTC, "market", "buy", 0.001) for _ in range(10)]
        made_orders = await asyncio.gather(*asked)
        assert {order["status"] for order in made_orders} == {"closed"}
        fills = (await ledger(gateway))["fills"][before:]
        await made.until(lambda: told_of(exchange.myTrades).keys() >= fills_of({"fills": fills}).keys())
        told = await exchange.watch_my_trades()
        assert told_of(told) == fills_of({"fills": fills})
        public = await exchange.watch_trades(BTC)
        ids = [int(each["id"]) for each in public]
        assert len(ids) >= BURST // 3
        assert ids == sorted(set(ids))
        assert not made.gaps


async def _trade_over(made: Program, count: int) -> None:
    made.run(made.my_trades, made.my_orders, made.ticker, made.book)
    await made.until(lambda: {"ticker", "book"} <= made.seen.keys())
    for _ in range(count):
        await made.trade()


async def test_over_a_bad_line_no_fill_is_missed_or_told_twice(gateway_with_orders: Ordering) -> None:
    """What comes back from the gateway is cut, truncated or late, again and again, also in the middle of a message."""
    gateway = gateway_with_orders
    chance = random.Random(7)
    async with (
        faulty(gateway.app.port, lambda: Fault.NONE, delay_s=0.3) as line,
        program(config_of(gateway, line.port)) as made,
    ):
        await made.exchange.traded_at()
        line.fault_of = lambda: chance.choice([Fault.CUT, Fault.TRUNCATE, Fault.DELAY, *[Fault.NONE] * 25])
        await _trade_over(made, 40)
        assert not made.unread, "the line comes back within an answer"
        line.fault_of = lambda: Fault.NONE
        entries = await ledger(gateway)
        await made.until(lambda: told_of(made.fills).keys() >= fills_of(entries).keys())
        await made.until(lambda: all(made.orders.get(order["id"], [""])[-1] == "closed" for order in made.made))
        assert all(line.seen[fault] for fault in (Fault.CUT, Fault.TRUNCATE, Fault.DELAY)), line.seen
        assert told_of(made.fills) == fills_of(entries)
        assert Counter(entry["client_order_id"] for entry in entries["orders"]) == Counter(
            {f"pro-{number}": 1 for number in range(40)}
        )


async def test_an_exchange_that_goes_away_leaves_no_price_that_looks_live(gateway_with_orders: Ordering) -> None:
    gateway = gateway_with_orders
    async with program(config_of(gateway)) as made:
        exchange = made.exchange
        made.run(made.ticker, made.book)
        await made.until(lambda: {"ticker", "book"} <= made.seen.keys())
        held, book = exchange.tickers[BTC], exchange.orderbooks[BTC]
        await gateway.exchange.fault("drop")
        await made.until(lambda: made.gaps)
        await made.until(lambda: len({gap.channel for gap in made.gaps}) == 2)
        assert held["info"].get("stale") is True or exchange.tickers[BTC] is not held
        assert {gap.reason for gap in made.gaps} == {"upstream"}
        count = len(made.seen["book"])
        await made.until(lambda: len(made.seen["book"]) > count)
        assert exchange.orderbooks[BTC] is book
