"""Where the replay tests find their recordings."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def recorded_paths(recorded_data: Path) -> list[Path]:
    """One unbroken session of Binance spot messages, in order."""
    paths = [recorded_data / "binance-raw-2024" / f"spot_btcusdt_2024080{day}.gz" for day in (8, 9)]
    if missing := [path.name for path in paths if not path.exists()]:
        pytest.skip(f"no recorded Binance messages: {', '.join(missing)} not in {recorded_data}")
    return paths
