"""Fixtures: a simulated exchange of two markets that move on demand, and a venue that trades there."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from loadtest.exchange.server import ExchangeServer
from oms.venues.ccxt import CcxtVenue
from tests.loadtest.exchange.tools import Client, synthetic
from tests.oms.venues.tools import Between, Ears, config


@pytest.fixture
async def exchange() -> AsyncIterator[ExchangeServer]:
    async with synthetic() as server:
        yield server


@pytest.fixture
async def admin(exchange: ExchangeServer) -> AsyncIterator[Client]:
    async with Client(exchange) as client:
        yield client


@pytest.fixture
def ears() -> Ears:
    return Ears()


@pytest.fixture
async def venue(exchange: ExchangeServer, ears: Ears) -> AsyncIterator[CcxtVenue]:
    made = CcxtVenue(config(exchange.base_url))
    await made.start(ears)
    yield made
    await made.close()


@pytest.fixture
async def between(exchange: ExchangeServer) -> AsyncIterator[Between]:
    """What requests go through; the private stream does not."""
    async with Between(exchange.base_url) as proxy:
        yield proxy
