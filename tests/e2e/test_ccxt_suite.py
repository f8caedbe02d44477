"""ccxt's own test suite has nothing to object to: of each kind of client, while orders are made all the time."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import ccxt_suite
from tests.e2e.bots import PYTHON
from tests.e2e.ordering import Ordering, ordering

# The ccxt that the main environment is pinned to comes without its suite.
WHEELS = sorted((PYTHON.parent.parent / "lib").glob("python3*/site-packages/ccxt"))
pytestmark = [
    pytest.mark.skipif(not WHEELS, reason=f"no ccxt with its own tests: {PYTHON} is made by `make test`"),
    pytest.mark.timeout(240),
]
TIMEOUT_S = 180.0
# What is said of the exchange behind, not of us: ccxt's own class for it does the same. The suite's way to say so.
NOT_LOOKED_AT: dict[str, Any] = {
    "orderBook": dict.fromkeys(("timestamp", "datetime"), "binance's REST books have no time"),
    "fetchMarginModes": "ccxt's binance refuses it for spot",
    "fetchLeverageTiers": "the suite asks for a list in a list",
    # The suite only warns of these, after trying for long.
    **dict.fromkeys(
        (
            "fetchStatus",
            "fetchTradingFees",
            "fetchDeposits",
            "fetchWithdrawals",
            "fetchTransfers",
            "fetchBorrowInterest",
        ),
        "the simulated exchange does not have it",
    ),
    # A spot position has none of these; the gateway does not make them up.
    **dict.fromkeys(
        ("watchPosition", "watchPositions"),
        dict.fromkeys(("leverage", "collateral", "marginMode", "percentage"), "nothing is borrowed"),
    ),
}
PUBLIC = {"fetchTicker", "fetchTickers", "fetchOHLCV", "fetchTrades", "fetchOrderBook", "fetchCurrencies"}
PRIVATE = {"fetchBalance", "fetchOrders", "fetchOpenOrders", "fetchClosedOrders", "fetchMyTrades"}
WATCHED = {
    *("watchTicker", "watchTickers", "watchBidsAsks", "watchOrderBook", "watchOrderBookForSymbols", "watchTrades"),
    *("watchTradesForSymbols", "watchOHLCV", "watchOHLCVForSymbols"),
    *("watchOrders", "watchMyTrades", "watchBalance", "watchPositions"),
}


@pytest.fixture(name="gateway")
async def _gateway(dsn: str) -> AsyncIterator[Ordering]:
    async with ordering(dsn, "--symbols", "2", "--rate", "5", "--age-s", "1200") as made:
        yield made


@pytest.fixture(scope="module", name="script")
def _script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("suite")
    return ccxt_suite.assemble(WHEELS[0], folder)


@asynccontextmanager
async def trading(gateway: Ordering) -> AsyncIterator[None]:
    """Orders come and go, and are filled, as long as the block runs."""

    async def trade() -> None:
        price = 50_000
        # Held all the time: the suite takes a position that was closed for a wrong one.
        assert (await gateway.send(order_type="market", qty="0.01", price=None))["ok"]
        while True:
            price += 1
            resting = await gateway.send(price=str(price), qty="0.001")
            assert (await gateway.command("ann", "cancel_order", order_id=resting["order_id"]))["ok"]
            for side in ("buy", "sell"):
                sent = await gateway.send(side=side, order_type="market", qty="0.001", price=None)
                assert sent["ok"], sent
            await asyncio.sleep(0.3)  # the suite has one core, and so has the gateway

    task = asyncio.create_task(trade())
    try:
        yield
        assert not task.done(), task.exception()
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


KINDS = {"--sync": PUBLIC | PRIVATE, "--async": PUBLIC | PRIVATE, "--ws": WATCHED}


async def test_it_finds_no_failure(gateway: Ordering, script: Path) -> None:
    settings = {
        "apiKey": gateway.keys["ann"],
        "options": {"account_id": 1, "base_url": f"http://127.0.0.1:{gateway.app.port}"},
    }
    ccxt_suite.configure(script.parents[3], "tickwire", settings, NOT_LOOKED_AT)
    async with trading(gateway), asyncio.TaskGroup() as tasks:  # what they wait for is mostly the market
        running = {
            kind: tasks.create_task(ccxt_suite.run(PYTHON, script, "tickwire", kind, TIMEOUT_S)) for kind in KINDS
        }
    for kind, tested in KINDS.items():
        outcome = running[kind].result()
        assert outcome.failures == [], "\n".join(outcome.lines[-200:])
        assert tested <= outcome.passed, f"{kind}: not tested: {sorted(tested - outcome.passed)}"
