"""Some of the runs of `make crash`: a gateway or PostgreSQL is killed in the middle of it, and nothing is lost."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from oms.model import PositionMode
from tests.crash.plan import plan_of
from tests.crash.run import run
from tests.crash.world import World, world_of

pytestmark = pytest.mark.asyncio(loop_scope="module")
SEED = 1
NUMBERS = (0, 6, 12, 23, 34, 40)
LATE = 60  # an order that is carried out in a later life than it was sent in


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    async with world_of(Path(tmp_path_factory.mktemp("gateways"))) as made:
        yield made


@pytest.mark.parametrize("number", NUMBERS, ids=str)
async def test_what_was_killed_agrees_with_the_exchange_when_it_lives_again(world: World, number: int) -> None:
    told = await run(world, plan_of(SEED, number))
    assert not told.problems
    assert told.deaths


async def test_what_is_carried_out_after_a_restart_is_known(world: World) -> None:
    told = await run(world, plan_of(SEED, LATE))
    assert not told.problems
    assert told.late


async def test_a_secret_that_a_gateway_logs_is_a_failure(world: World) -> None:
    with pytest.raises(AssertionError, match="a gateway has logged a secret"):
        async with world.scene(PositionMode.NETTING) as scene:
            scene.log_file.write_text(f'{{"event":"x","level":"info","key":"{scene.key}"}}\n')
