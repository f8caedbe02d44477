"""Ordinary ccxt programs (examples/strategies) trade the same through whatever they are told to trade on."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from gateway.sources.sim import sim_options
from tests.e2e.ordering import ordering
from tests.e2e.processes import Exchange, exchange_of
from tests.e2e.strategies import PROGRAMS, REPORT, STRATEGIES, Market, Program, Traded, run, settings_of, traded

FUNDS = {"USDT": "1000000", "BTC": "10", "ETH": "100", "BNB": "100", "SOL": "100"}
# Markets that move only when they are told to: the same orders meet the same book, in whatever run.
STILL = ("--symbols", str(len(STRATEGIES)), "--rate", "0", "--age-s", "1200")
KEYS = {"apiKey": "ann-at-the-venue", "secret": "ann-secret"}


class Done(dict[str, Traded]):
    """What each program did, by its script, and what the report says in the end."""

    report: dict[str, Any]


async def all_of(exchange: Exchange, settings: Path, *through: str) -> Done:
    """Every program at once, each in its own market."""

    async def one(program: Program) -> Traded:
        market = Market(exchange, "ann", program.symbol)
        await run(market, program, settings, *through)
        return await traded(exchange, "ann", market.name)

    async with asyncio.TaskGroup() as tasks:
        running = {program.script: tasks.create_task(one(program)) for program in STRATEGIES}
    done = Done({script: task.result() for script, task in running.items()})
    (line,) = await run(Market(exchange, "ann", REPORT.symbol), REPORT, settings, *through)
    done.report = json.loads(line)
    return done


async def on_binance(folder: Path) -> Done:
    async with exchange_of(*STILL) as exchange:
        await exchange.post("account", name="ann", api_key=KEYS["apiKey"], secret=KEYS["secret"], funds=FUNDS)
        return await all_of(exchange, settings_of(folder, "binance", {**KEYS, **sim_options(exchange.base_url)}))


async def on_the_driver(dsn: str, folder: Path) -> Done:
    async with ordering(dsn, *STILL) as gateway:
        for asset in FUNDS.keys() - {"USDT", "BTC"}:
            await gateway.exchange.post("fund", asset=asset, amount=FUNDS[asset], account="ann")
        options = {"account_id": 1, "base_url": f"http://127.0.0.1:{gateway.app.port}"}
        settings = settings_of(folder, "tickwire", {"apiKey": gateway.keys["ann"], "options": options})
        return await all_of(gateway.exchange, settings, "-m", "driver.run")


def sides(rows: Sequence[dict[str, Any]]) -> list[str]:
    return [row["side"] for row in rows]


def assert_all_traded(done: Done) -> None:
    grid, maker, twap, breakout = (done[program.script] for program in STRATEGIES)
    assert sides(grid.fills) == ["BUY", "SELL", "BUY", "SELL"]
    assert [row["status"] for row in grid.orders].count("CANCELED") == 6
    assert sides(maker.fills) == ["SELL", "BUY", "BUY"]
    assert len({row["price"] for row in maker.orders}) == 6, "it quoted anew, thrice"
    assert [row["status"] for row in twap.orders] == ["FILLED"] * 4
    assert sum(float(row["qty"]) for row in twap.fills) == 5
    assert sides(breakout.orders) == ["BUY", "SELL", "BUY", "SELL"]
    assert all(row["status"] not in {"NEW", "PARTIALLY_FILLED"} for each in done.values() for row in each.orders)
    assert done.report["balances"]["BNB"]["total"] == 104.995, "5 bought, less fees"


@pytest.mark.timeout(240)
async def test_every_program_trades_on_the_driver_as_on_ccxts_own_class(dsn: str, tmp_path: Path) -> None:
    expected = await on_binance(tmp_path)
    assert_all_traded(expected)
    done = await on_the_driver(dsn, tmp_path)
    for script, traded_there in expected.items():
        assert done[script] == traded_there, script
    assert done.report == expected.report


def test_every_program_is_run() -> None:
    assert {path.name for path in PROGRAMS.glob("*.py")} == {program.script for program in (*STRATEGIES, REPORT)}
