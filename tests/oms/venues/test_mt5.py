"""An account at MetaTrader 5, through a real RPyC server: read, closed, lost and back, hung, and never traded on."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from msgspec.structs import replace

from oms.errors import OmsError
from oms.venues.base import Ending, Refused
from oms.venues.mt5 import Mt5Inspection, Mt5Venue
from tests.oms.orders_made import order
from tests.oms.venues.terminal import LOGIN, PASSWORD
from tests.oms.venues.terminal_server import TerminalServer
from tests.oms.venues.tools import Ears
from tests.waiting import until

D = Decimal
CREDENTIALS = {"login": str(LOGIN), "password": PASSWORD}


@pytest.fixture(scope="module")
def process() -> Iterator[TerminalServer]:
    made = TerminalServer()
    made.start()
    yield made
    made.kill()


@pytest.fixture
def server(process: TerminalServer) -> TerminalServer:
    process.do("bench.__init__()")
    return process


def inspect(server: TerminalServer, credentials: Any = CREDENTIALS, **options: Any) -> Mt5Inspection:
    return Mt5Venue(credentials, {**server.options, **options}).inspect()


def threads() -> int:
    return sum(each.name == "mt5" for each in threading.enumerate())


async def refusal(inspection: Mt5Inspection) -> str:
    with pytest.raises(OmsError) as refused:
        await inspection.read()
    assert PASSWORD not in repr(refused.value.message)
    return refused.value.message


async def test_an_account_is_read_and_a_closed_position_told_with_its_deals(server: TerminalServer) -> None:
    inspection = inspect(server)
    assert await inspection.endings([7]) == {}, "nothing was read yet"
    server.do("bench.positions = [position(7)]; bench.figures = {'balance': 1000.1, 'equity': 1010.1}")
    said = await inspection.read()
    assert (said.figures["balance"], said.figures["equity"], said.currency) == (D("1000.10"), D("1010.10"), "USD")
    assert said.holdings is not None
    assert list(said.holdings) == [7]
    server.do("bench.positions = []; bench.deals = {7: [deal(1, 0), deal(2, 1, price=1.0865, profit=150.0)]}")
    assert (await inspection.read()).holdings == {}
    assert await inspection.endings([7, 8]) == {7: Ending(price=D("1.0865"), profit=D("150.00"))}
    assert server.do("told = bench.calls.count('initialize')") == 1, "it is entered once"
    await inspection.close()
    await until(lambda: not threads())


async def test_a_terminal_that_somebody_made_another_account_s_is_taken_back(server: TerminalServer) -> None:
    inspection = inspect(server)
    await inspection.read()
    server.do("bench.login = 77")
    assert (await inspection.read()).figures["balance"] == D("1000.00")
    assert server.do("told = bench.login") == LOGIN
    await inspection.close()


@pytest.mark.parametrize(
    ("credentials", "said"),
    [
        ({"login": str(LOGIN), "password": "wrong"}, "the terminal says: Terminal: Authorization failed (-6)"),
        ({}, "the account has no credentials: tickwire account credentials"),
    ],
)
async def test_who_may_not_log_in_is_told(server: TerminalServer, credentials: Any, said: str) -> None:
    inspection = inspect(server, credentials)
    assert await refusal(inspection) == said
    await until(lambda: not threads())


async def test_a_terminal_that_is_gone_and_back_is_entered_again(server: TerminalServer) -> None:
    inspection = inspect(server)
    await inspection.read()
    server.do("bench.is_running = False")
    assert "IPC" in await refusal(inspection)
    server.do("bench.is_running = True")
    assert (await inspection.read()).holdings == {}
    await inspection.close()


async def test_a_server_that_is_killed_and_started_again_is_found_again(process: TerminalServer) -> None:
    inspection = inspect(process)
    await inspection.read()
    process.kill()
    for _ in range(2):
        assert await refusal(inspection) == f"the server of the terminal at 127.0.0.1:{process.port} cannot be reached"
    process.start()
    assert (await inspection.read()).figures["balance"] == D("1000.00")
    await inspection.close()
    await until(lambda: not threads())


async def test_a_call_that_hangs_is_given_up_and_leaves_no_thread(server: TerminalServer) -> None:
    inspection = inspect(server)
    await inspection.read()
    assert inspection._way is not None
    patient = inspection._options
    inspection._options = inspection._way._options = replace(patient, timeout_s=0.25)
    server.do("bench.hang_s = 0.6")
    assert await refusal(inspection) == "the terminal gave no answer within 0.25 s"
    await until(lambda: not threads())
    server.do("bench.hang_s = 0.0")
    inspection._options = patient
    assert (await inspection.read()).holdings == {}
    await inspection.close()


async def test_who_stops_waiting_leaves_no_thread(server: TerminalServer) -> None:
    inspection = inspect(server)
    await inspection.read()
    server.do("bench.hang_s = 0.3")
    reading = asyncio.create_task(inspection.read())
    await asyncio.sleep(0)
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)
    await until(lambda: not threads())
    server.do("bench.hang_s = 0.0")


async def test_whatever_the_other_side_raises_tells_nothing_of_itself(server: TerminalServer) -> None:
    inspection = inspect(server)
    await inspection.read()
    server.do("bench.positions = None")
    assert (await refusal(inspection)).startswith("the terminal cannot be asked: ")
    server.do("bench.positions = [(1, 2)]")
    assert "not understood" in await refusal(inspection)
    await inspection.close()


# --- the venue --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("credentials", "options"),
    [({"apiKey": "k"}, {}), ({"login": "ann"}, {}), ({}, {"port": 0}), ({}, {"unknown": 1})],
)
def test_mistakes_are_told_before_anything_is_connected(credentials: Any, options: Any) -> None:
    with pytest.raises(OmsError) as refused:
        Mt5Venue(credentials, options)
    assert refused.value.code == "validation_error"
    assert repr(Mt5Venue(CREDENTIALS, {})) == "Mt5Venue()"


async def test_it_is_not_traded_on() -> None:
    venue, ears = Mt5Venue(CREDENTIALS, {}), Ears()
    await venue.start(ears)
    assert ears.stream == [True]
    asked = order()
    for refuse in (lambda: venue.instrument("EURUSD"), lambda: venue.check(asked)):
        with pytest.raises(OmsError, match="not traded on"):
            refuse()
    for write in (venue.place(asked, "c"), venue.cancel(asked), venue.replace(asked, None, D(1), "c")):
        with pytest.raises(Refused) as refused:
            await write
        assert refused.value.code == "unsupported_engine"
    with pytest.raises(OmsError, match="no exchange of ccxt"):
        await venue.call("fetch_ticker", {}, public=True)
    assert (await venue.find(asked), await venue.lookup("EURUSD"), await venue.open_orders(None)) == (None, None, [])
    assert (await venue.trades("EURUSD", 0), await venue.balances(), await venue.positions()) == ([], {}, [])
    await venue.close()
