"""User data told twice or in another order; the ledger has it once and in order."""

import asyncio
from collections import Counter
from typing import Any

import ccxt.pro
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.exchange.accounts import DEFAULT_NAME, Account, Accounts
from loadtest.exchange.event_faults import EventFaults
from loadtest.exchange.reports import Report
from loadtest.exchange.server import ExchangeServer
from tests.loadtest.exchange.tools import Client, trader_options

SYMBOL = "BTC/USDT"


class Stage:
    """Event faults between us and a list of what was told."""

    def __init__(self) -> None:
        self.accounts = Accounts({})
        self.first, self.second = self.accounts.named(DEFAULT_NAME), self.accounts.open("second", "key", "secret")
        self.told: list[object] = []
        self.faults = EventFaults(self.accounts, self._keep)

    def _keep(self, _account: Account, report: Report) -> None:
        self.told.append(report.get("I", report["e"]))

    def command(self, kind: str, **command: object) -> None:
        self.faults.kinds[kind](command)

    def reports(self, *numbers: int, of: Account | None = None, kind: str = "TRADE") -> None:
        for number in numbers:
            self.faults.emit(of or self.first, {"e": "executionReport", "x": kind, "I": number})


def test_fills_are_told_twice_and_nothing_else_is() -> None:
    stage = Stage()
    stage.command("repeat", count=2)
    stage.reports(1, kind="NEW")
    stage.reports(2, of=stage.second)
    stage.reports(3, 4, 5)
    assert stage.told == [1, 2, 3, 3, 4, 4, 5]


def test_reports_are_told_the_last_one_first() -> None:
    stage = Stage()
    stage.command("reorder", count=3)
    stage.reports(1, 2)
    stage.faults.emit(stage.first, {"e": "outboundAccountPosition"})
    stage.reports(9, of=stage.second)
    stage.reports(3, 4)
    assert stage.told == ["outboundAccountPosition", 9, 3, 2, 1, 4]


def test_both_and_their_end() -> None:
    stage = Stage()
    stage.command("reorder", count=10)
    stage.command("repeat", count=5, account="default")
    stage.reports(1, 2)
    assert stage.faults.status() == {"repeating": 3, "reordering": 1}
    stage.faults.clear()
    stage.reports(3)
    assert stage.told == [2, 2, 1, 1, 3]
    assert stage.faults.status() == {"repeating": 0, "reordering": 0}


@given(
    st.lists(
        st.sampled_from(["NEW", "TRADE", "CANCELED"])
        | st.tuples(st.sampled_from(["repeat", "reorder"]), st.integers(2, 4))
    )
)
def test_nothing_is_lost_and_only_fills_are_doubled(happenings: list[str | tuple[str, int]]) -> None:
    stage = Stage()
    kinds: list[str] = []
    for happening in happenings:
        if isinstance(happening, str):
            stage.reports(len(kinds), kind=happening)
            kinds.append(happening)
        else:
            stage.command(happening[0], count=happening[1])
    stage.faults.clear()
    told = Counter(stage.told)
    assert told.keys() == set(range(len(kinds)))
    assert all(count == 1 or (count == 2 and kinds[int(str(number))] == "TRADE") for number, count in told.items())


@pytest.mark.parametrize(
    ("command", "status"),
    [
        ({"fault": "repeat", "count": 0}, 400),
        ({"fault": "reorder"}, 400),
        ({"fault": "reorder", "count": 1}, 400),
        ({"fault": "repeat", "account": "nobody"}, 409),
    ],
)
async def test_wrong_commands(client: Client, command: dict[str, Any], status: int) -> None:
    assert (await client.post("/admin/faults", **command))[0] == status


async def test_as_ccxt_sees_them(still: ExchangeServer, client: Client) -> None:
    exchange = ccxt.pro.binance(trader_options(still.base_url))
    try:
        await exchange.load_markets()
        await exchange.authenticate()
        await client.fault("reorder", count=3)
        watching = asyncio.ensure_future(exchange.watch_orders(SYMBOL))
        await asyncio.sleep(0)
        await exchange.create_order(SYMBOL, "limit", "buy", 0.01, 59_000, {"clientOrderId": "a"})
        await client.post("/admin/fill", symbol="BTCUSDT", client_order_id="a", qty="0.004")
        assert not watching.done()
        await client.post("/admin/fill", symbol="BTCUSDT", client_order_id="a")
        seen = (await asyncio.wait_for(watching, 10))[-1]
        assert (seen["status"], seen["filled"]) == ("open", 0), "the beginning is told last, and ccxt believes it"
        assert (await exchange.fetch_order(seen["id"], SYMBOL))["status"] == "closed"
        fills = (await client.get("/admin/ledger"))[1]["fills"]
        assert [fill["qty"] for fill in fills] == ["0.00400000", "0.00600000"]
    finally:
        await exchange.close()
