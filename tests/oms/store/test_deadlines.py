"""Deadlines of dead man's switches on a real database."""

from __future__ import annotations

import pytest

from oms.errors import OmsError
from oms.store import deadlines
from oms.store.pool import Pool
from tests.oms.full_rows import T, make_account


async def test_an_account_has_one_deadline_or_none(pool: Pool) -> None:
    first, second = await make_account(pool), await make_account(pool, "second")
    assert await deadlines.deadline(pool, first) is None
    await deadlines.set_deadline(pool, first, T + 1_000)
    await deadlines.set_deadline(pool, first, T + 2_000)
    await deadlines.set_deadline(pool, second, T)
    assert await deadlines.deadline(pool, first) == T + 2_000
    for _ in range(2):
        await deadlines.set_deadline(pool, first, None)
    assert await deadlines.deadline(pool, first) is None
    assert await deadlines.deadline(pool, second) == T


async def test_without_the_database_a_deadline_is_not_set(pool: Pool) -> None:
    account_id = await make_account(pool)
    await pool.close()
    with pytest.raises(OmsError) as refused:
        await deadlines.set_deadline(pool, account_id, T)
    assert refused.value.code == "engine_unavailable"
