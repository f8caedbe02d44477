"""The accounts that dashboards show: followed once for everybody, told together, and let go of."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

import msgspec
import pytest

from _speedups.fanout import Fanout
from gateway.core.portfolio import Valuation
from gateway.limits import Limits
from gateway.net.dashboard_portfolio import PortfolioBoard
from gateway.net.deflate import compress
from gateway.wire.dashboard_forms import DashboardForms
from tests.gateway.net.fakes import FakeConnection
from tests.gateway.wire.test_dashboard_portfolio import held, valuation

FORM = DashboardForms(Limits(), compress).of(deflate=False).portfolio
NOW_NS = 1_770_474_600_123_000_000


class Scene:
    """A board, and accounts that are valued by hand."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.fanout = Fanout(loop.call_soon, loop.call_later)
        self.followers: dict[int, Callable[[Valuation], None]] = {}
        self.board = PortfolioBoard(self.follow, self.fanout, 3_600, lambda: NOW_NS)

    def follow(self, account_id: int, on_valued: Callable[[Valuation], None]) -> Callable[[], None]:
        assert account_id not in self.followers, "once for everybody"
        self.followers[account_id] = on_valued

        def end() -> None:
            del self.followers[account_id]

        return end

    def join(self, *account_ids: int) -> FakeConnection:
        client = FakeConnection(self.fanout)
        self.board.join(client.outbox, account_ids, FORM)
        return client


@pytest.fixture
async def scene() -> Scene:
    return Scene()


def symbols_told(client: FakeConnection) -> list[list[str]]:
    return [list(message["data"]["positions"]) for message in client.take()]


async def test_accounts_are_told_together_as_far_as_they_are_known(scene: Scene) -> None:
    one, both = scene.join(1), scene.join(1, 2)
    scene.followers[1](valuation(held("A")))
    scene.board._tick()
    (of_one,), (of_both,) = ([message["data"] for message in client.take()] for client in (one, both))
    assert (list(of_one["positions"]), of_one["total_pnl"], "unvalued_accounts" in of_one) == (["A"], 5.05, False)
    assert (list(of_both["positions"]), of_both["total_pnl"], of_both["unvalued_accounts"]) == (["A"], None, [2])
    scene.followers[2](valuation(held("B")))
    scene.board._tick()
    assert symbols_told(one) == []
    ((_, _, payload),) = both.take_frames()
    said = json.loads(payload)["data"]
    assert (list(said["positions"]), said["total_pnl"], "unvalued_accounts" in said) == (["A", "B"], 10.1, False)
    one.outbox.discard()
    assert set(scene.followers) == {1, 2}
    both.outbox.discard()
    assert not scene.followers


async def test_a_message_is_as_the_protocol_has_it(scene: Scene) -> None:
    client = scene.join(1)
    scene.followers[1](valuation(pnl="0"))
    scene.board._tick()
    ((_, _, payload),) = client.take_frames()
    assert payload == (
        b'{"type":"portfolio_update","channel":"portfolio","timestamp":"2026-02-07T14:30:00.123Z",'
        b'"data":{"positions":{},"total_pnl":0,"position_count":0}}'
    )
    json.loads(payload)


async def test_it_is_well_while_one_account_is_live(scene: Scene) -> None:
    scene.join(1, 2)
    scene.board._tick()
    assert scene.board.health.at(NOW_NS).last_update_ns is None
    live = valuation()
    scene.followers[1](live)
    scene.followers[2](msgspec.structs.replace(live, stale=True))
    scene.board._tick()
    assert scene.board.health.at(NOW_NS).last_update_ns == NOW_NS
    scene.followers[1](msgspec.structs.replace(live, stale=True))
    scene.followers[1](msgspec.structs.replace(live, stale=True, unvalued=("X",)))
    assert scene.board.health.at(NOW_NS).error_count == 1, "it is lost once"
    scene.board.close()
