"""An account's money as ccxt tells it, at the simulated exchange, and what is no answer."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, cast

import pytest

from oms.errors import OmsError
from oms.venues.balances import Balances
from oms.venues.beside import Beside
from oms.venues.ccxt import CcxtVenue


class Answering:
    """Answers every call with this."""

    def __init__(self, answer: bytes) -> None:
        self.answer = answer
        self.asked: list[tuple[str, Mapping[str, Any], bool]] = []

    async def call(self, func: str, arguments: Mapping[str, Any], *, public: bool) -> bytes:
        self.asked.append((func, arguments, public))
        return self.answer


def balances(answer: bytes, currency: str = "USDT") -> tuple[Balances, Answering]:
    answering = Answering(answer)
    return Balances(cast("Beside", answering), currency), answering


async def test_a_balance_is_read_at_the_exchange(venue: CcxtVenue) -> None:
    said = await venue.inspect().read()
    held = await venue.balances()
    assert said.currency == "USDT"
    assert said.holdings is None, "they are the OMS's"
    assert said.figures["balance"] == held["USDT"]
    assert said.figures["balance_BTC"] == held["BTC"]


async def test_one_currency_is_the_balance_and_others_are_beside_it() -> None:
    inspection, answering = balances(b'{"total":{"BTC":0.1,"USD":12.30,"DUST":0.0,"ODD":null}}', "USD")
    said = await inspection.read()
    assert said.figures == {"balance": Decimal("12.3"), "balance_BTC": Decimal("0.1")}
    assert answering.asked == [("fetch_balance", {"params": {}}, False)]
    assert await inspection.endings([1]) == {}
    await inspection.close()


async def test_nothing_of_a_currency_is_zero() -> None:
    inspection, _ = balances(b'{"total":{}}')
    assert (await inspection.read()).figures == {"balance": Decimal(0)}


async def test_an_answer_without_balances_is_an_error_of_the_exchange() -> None:
    inspection, _ = balances(b'{"info":{}}')
    with pytest.raises(OmsError) as refused:
        await inspection.read()
    assert refused.value.code == "exchange_error"
