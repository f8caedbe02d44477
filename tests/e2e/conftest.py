"""Where the replay tests find their recordings, and what tests of orders start from."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from oms.postgres import Embedded
from tests.e2e.ordering import Ordering, ordering
from tests.oms import database


@pytest.fixture(scope="session")
def recorded_paths(recorded_data: Path) -> list[Path]:
    """One unbroken session of Binance spot messages, in order."""
    paths = [recorded_data / "binance-raw-2024" / f"spot_btcusdt_2024080{day}.gz" for day in (8, 9)]
    if missing := [path.name for path in paths if not path.exists()]:
        pytest.skip(f"no recorded Binance messages: {', '.join(missing)} not in {recorded_data}")
    return paths


@pytest.fixture
async def own_server() -> AsyncIterator[Embedded]:
    """A database server that a test may stop."""
    with database.embedded() as server:
        await database.make_template(server.dsn)
        yield server


@pytest.fixture
async def gateway_with_orders(dsn: str) -> AsyncIterator[Ordering]:
    """A gateway that takes orders, in front of a simulated exchange; `ann` has account 1, `bob` account 2."""
    async with ordering(dsn) as made:
        yield made
