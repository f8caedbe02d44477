"""freqtrade trades through the gateway as it does on any exchange: what it has written down is what the venue did."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.bots import PYTHON, Bot, freqtrade
from tests.e2e.ordering import Ordering, ordering

# How many trades each bot makes; `make freqtrade` lets it go on for minutes.
TRADES = int(os.environ.get("TICKWIRE_FREQTRADE_TRADES", "2"))
pytestmark = [
    pytest.mark.skipif(not PYTHON.exists(), reason=f"no freqtrade: {PYTHON} is made by `make test`"),
    pytest.mark.timeout(240 + 60 * TRADES),
]
PAIRS = 4
# Nobody else trades: an order at the best price is filled at once, and none has to be given up and made anew.
STILL = ("--rate", "0", "--age-s", "1200")
ENDS = {"closed": "FILLED", "canceled": "CANCELED"}
# freqtrade says this of every exchange that its makers do not test.
UNTESTED = "is known to the ccxt library, available for the bot, but not officially supported"


@pytest.fixture(name="gateway")
async def _gateway(dsn: str) -> AsyncIterator[Ordering]:
    async with ordering(dsn, "--symbols", str(PAIRS), *STILL) as made:
        yield made


def url_of(gateway: Ordering) -> str:
    return f"http://127.0.0.1:{gateway.app.port}"


async def agree(bot: Bot, gateway: Ordering) -> None:
    """Every order of the venue is one of the bot's, and the other way round, with the same in it."""
    ledger = await gateway.exchange.get("/admin/ledger", account="ann")
    at_venue = {str(row["order_id"]): row for row in ledger["orders"]}
    known = {}
    for order in bot.orders():
        held = await gateway.order(int(order["order_id"]))
        known[held["exchange_order_id"]] = order
    assert known.keys() == at_venue.keys(), "no orphan on either side"
    for number, row in at_venue.items():
        order = known[number]
        assert (order["ft_pair"].replace("/", ""), order["side"].upper()) == (row["symbol"], row["side"])
        assert ENDS[order["status"]] == row["status"]
        assert Decimal(str(order["filled"])) == Decimal(row["executed_qty"])
        assert Decimal(str(order["amount"])) == Decimal(row["qty"])
        cost = Decimal(str(order["average"] or 0)) * Decimal(str(order["filled"]))
        assert float(cost) == pytest.approx(float(row["executed_quote_qty"]))


def sides(orders: list[dict[str, Any]]) -> list[str]:
    return sorted(order["side"] for order in orders)


def assert_content(bot: Bot) -> None:
    """Nothing in its log but information."""
    complaints = bot.complaints()
    assert len(complaints) == 1, "\n".join(complaints)
    assert UNTESTED in complaints[0]


async def test_it_buys_and_sells_live_while_another_one_does_so_on_paper(gateway: Ordering, tmp_path: Path) -> None:
    async with (
        freqtrade(tmp_path / "live", url_of(gateway), gateway.keys["ann"]) as live,
        freqtrade(tmp_path / "dry", url_of(gateway), gateway.keys["bob"], dry_run=True) as dry,
    ):
        for bot in (live, dry):
            await bot.until_sold(TRADES)
            await bot.finish()
    for bot in (live, dry):
        assert_content(bot)
        assert len(bot.orders()) >= 2 * TRADES
        assert sides(bot.orders()).count("buy") == sides(bot.orders()).count("sell")
    await agree(live, gateway)
    assert (await gateway.exchange.get("/admin/ledger", account="bob"))["requests"] == [], "paper only"


async def test_no_order_is_orphaned_that_the_venue_accepted_and_answered_with_503(
    gateway: Ordering, tmp_path: Path
) -> None:
    await gateway.exchange.fault("fail", status=503, accepted=True, count=TRADES + 1)
    async with freqtrade(tmp_path / "live", url_of(gateway), gateway.keys["ann"]) as bot:
        await bot.until_sold(TRADES)
        await bot.finish()
    ledger = await gateway.exchange.get("/admin/ledger", account="ann")
    answers = [row["answer"] for row in ledger["requests"]]
    assert answers.count("503") == TRADES + 1, answers
    assert_content(bot)
    await agree(bot, gateway)
