"""A client of the resources on a real database with two accounts."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from oms.store.pool import Pool
from tests.oms import full_rows
from tests.oms.resources.served import Served, serving


@pytest.fixture
async def served(pool: Pool) -> AsyncIterator[Served]:
    for name in ("first", "second"):
        await full_rows.make_account(pool, name)
    async with serving(pool) as made:
        yield made
