"""What runs beside a connection's requests: bounded, counted down whatever becomes of it, and a fault is told."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from gateway.errors import TickwireError
from gateway.limits import Limits
from gateway.net import deflate
from gateway.net.private import PrivateService
from gateway.net.running import Running
from gateway.wire.forms import Forms
from tests.gateway.net.accounts import FakeAccounts


async def test_as_much_runs_at_once_as_may_and_a_place_is_free_again_after_any_end() -> None:
    limits = Limits(commands_running_max=3)
    urged: list[int] = []
    service = PrivateService(FakeAccounts(), Forms(limits, deflate.compress), limits, Counter())
    running, gate = Running(service), asyncio.Event()
    refused: list[TickwireError] = []

    async def work() -> None:
        await gate.wait()

    async def refuse() -> None:
        await gate.wait()
        raise TickwireError("risk_blocked", "no")

    async def fail() -> None:
        await gate.wait()
        raise RuntimeError("as asked")

    for each in (work, refuse, fail):
        running.begin(each, "c-1", refused.append, urged.append)
    with pytest.raises(TickwireError) as too_much:
        running.begin(work, "c-2", refused.append, urged.append)
    assert (too_much.value.code, too_much.value.retry_after_ms) == ("rate_limited", 100)
    assert urged == [1, 1, 1], "who waits for an answer is told to the fan-out, and who was refused waits for none"
    gate.set()
    assert await service.finish(1)
    assert sorted(error.code for error in refused) == ["internal_error", "risk_blocked"]
    assert urged[3:] == [-1, -1, -1], "whatever becomes of it"
    for _ in range(3):
        running.begin(work, "c-3", refused.append)
    assert await service.finish(1)
