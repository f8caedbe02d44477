"""Fixtures of the simulated exchange's tests."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from loadtest.exchange.server import ExchangeServer
from tests.loadtest.exchange.tools import Client, synthetic


@pytest.fixture(scope="session")
def recorded_paths(recorded_data: Path) -> list[Path]:
    """One unbroken session of spot messages, recorded from Binance."""
    paths = [recorded_data / "binance-raw-2024" / f"spot_btcusdt_2024080{day}.gz" for day in (8, 9)]
    if not all(path.exists() for path in paths):
        pytest.skip(f"no recorded Binance messages in {recorded_data}")
    return paths


@pytest.fixture
async def still() -> AsyncIterator[ExchangeServer]:
    """An exchange of two markets that move on demand only."""
    async with synthetic() as server:
        yield server


@pytest.fixture
async def client(still: ExchangeServer) -> AsyncIterator[Client]:
    async with Client(still) as client:
        yield client
