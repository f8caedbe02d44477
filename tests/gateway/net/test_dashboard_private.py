"""What accounts tell a dashboard: executions of what its principal may read, whoever that is by now."""

from __future__ import annotations

import asyncio
import json

import pytest

from gateway.auth import Gate
from gateway.config import AuthConfig, DashboardConfig
from gateway.desk import reader_of
from gateway.errors import Close
from gateway.net import dashboard_private
from gateway.net.dashboard_portfolio import PortfolioBoard
from gateway.net.guard import Guard, Guards
from oms.errors import OmsError
from oms.model import Permission
from tests.gateway.core.holdings_made import holdings, position
from tests.gateway.net.accounts import Channel, FakeAccounts, Line
from tests.gateway.net.fakes import DashboardClient, Rig
from tests.gateway.net.treasury import FakeTreasury
from tests.gateway.users import Users
from tests.waiting import until

AWAY = OmsError("engine_unavailable", "the order database is not available", retry_after_ms=1_000)


class Scene:
    """Dashboards with accounts and users: `ann` may read accounts 1 and 2, `bob` the second."""

    def __init__(self, *, anonymous: bool = True, reader: int | None = None) -> None:
        self.room = FakeAccounts()
        self.users = Users()
        self.users.add("ann", permissions={number: Permission(account_id=number) for number in (1, 2)})
        self.users.add("bob", permissions={2: Permission(account_id=2)})
        self.guards = Guards(Gate(self.users.auth, AuthConfig(), anonymous=anonymous))
        self.rig = Rig(
            accounts=self.room, dashboards=DashboardConfig(symbols=["BTC/USDT"], portfolio_update_interval_s=3600)
        )
        self.treasury = FakeTreasury()
        self.treasury.now = holdings({"USDT": 100, "BTC": 2}, [position("BTC/USDT", "2")])
        assert self.rig.private is not None
        portfolios = self.rig.connect_portfolios(self.treasury)
        self.rig.dashboards.serve_accounts(self.rig.private, portfolios, reader_of(reader))

    async def connect(self, name: str | None = "ann") -> DashboardClient:
        verdict = self.users.auth.authenticate(self.users.texts[name], "x-api-key") if name else None
        client = self.rig.connect_dashboard(guard=Guard(self.guards, verdict))
        await self.settle()
        return client

    async def settle(self) -> None:
        """Let everything that can go on do so."""
        for _ in range(30):
            await asyncio.sleep(0)

    async def deal(self, account_id: int, symbol: str = "BTC/USDT", side: str = "buy") -> None:
        """One is committed."""
        channel: Channel = self.room.channels[account_id, "deals"]
        number = len(channel.lines) + 1
        data = {"id": number, "account_id": account_id, "symbol": symbol, "side": side, "qty": "0.01", "price": "60000",
                "strategy_id": 0, "executed_at": "2026-02-07T14:30:00.123Z"}  # fmt: skip
        channel.lines.append(Line(number, "deal_created", json.dumps(data).encode(), number))
        for listener in list(channel.listeners):
            listener()
        await self.settle()


def shown(client: DashboardClient) -> tuple[str, ...]:
    """The symbols whose prices it is told."""
    return client.session._symbols


def listening(scene: Scene) -> list[int]:
    """The accounts that somebody follows."""
    return [account_id for (account_id, _), channel in scene.room.channels.items() if channel.listeners]


async def test_an_execution_is_told_as_the_protocol_has_it() -> None:
    scene = Scene()
    await scene.deal(1)
    client = await scene.connect()
    await scene.deal(1, side="sell")
    await scene.deal(2, "ETH/USDT")
    first, second = client.take()
    assert first == {
        "type": "trade_executed", "symbol": "BTC/USDT", "side": "SELL", "quantity": 0.01, "price": 60000,
        "timestamp": "2026-02-07T14:30:00.123Z",
    }  # fmt: skip
    assert list(first) == ["type", "symbol", "side", "quantity", "price", "timestamp"]
    assert second["symbol"] == "ETH/USDT"
    client.leave()
    assert listening(scene) == []


async def test_everybody_is_told_of_their_own_accounts_only() -> None:
    scene = Scene()
    bob, nobody = await scene.connect("bob"), await scene.connect(None)
    await scene.deal(1)
    assert bob.take() == []
    await scene.deal(2)
    assert len(bob.take()) == 1
    assert nobody.take() == []


async def test_in_single_user_mode_everybody_is_told_of_that_account() -> None:
    scene = Scene(reader=1)
    nobody, bob = await scene.connect(None), await scene.connect("bob")
    await scene.deal(1)
    assert (len(nobody.take()), bob.take()) == (1, []), "who says who they are has their own"
    nobody.say(type="subscribe", channel="trades", symbols=["ETH/USDT"])
    assert nobody.take() == []


async def test_where_nobody_is_let_in_anonymously_single_user_mode_waits_for_a_key() -> None:
    scene = Scene(anonymous=False, reader=1)
    client = await scene.connect(None)
    assert shown(client) == ()
    await scene.deal(1)
    assert client.take() == []
    assert client.session.subscriptions == 0
    assert (await client.ask(type="subscribe", channel="signals"))["error"].startswith("not_authenticated")
    assert await client.ask(type="ping") == {"type": "pong"}


async def test_a_key_in_a_message_opens_what_a_key_in_the_handshake_does() -> None:
    scene = Scene(anonymous=False)
    client = await scene.connect(None)
    said = await client.ask(type="auth", token=scene.users.texts["ann"])
    assert (said["type"], said["user"], said["account_ids"]) == ("authenticated", "ann", [1, 2])
    await scene.settle()
    assert shown(client) == ("BTC/USDT",)
    await scene.deal(2)
    assert [message["type"] for message in client.take()] == ["trade_executed"]


async def test_a_wrong_key_in_a_message_ends_the_connection() -> None:
    scene = Scene()
    client = await scene.connect(None)
    client.say(type="auth", token="nonsense")
    (said,) = client.take()
    assert said["error"].startswith("invalid_api_key: ")
    assert client.conn.closed is not None
    assert client.conn.closed[0] == Close.NOT_AUTHENTICATED


async def test_without_users_there_is_nobody_to_be() -> None:
    client = Rig().connect_dashboard()
    assert (await client.ask(type="auth", token="t"))["error"].startswith("unsupported_action")
    assert (await client.ask(type="subscribe", channel="trades"))["error"].startswith("unsupported_action")


async def test_private_channels_are_refused_to_nobody_and_narrowed_by_symbol() -> None:
    scene = Scene()
    nobody = await scene.connect(None)
    for channel in ("trades", "portfolio"):
        said = await nobody.ask(type="subscribe", channel=channel)
        assert said["error"] == "not_authenticated: this needs an API key: send `auth` first"
    ann = await scene.connect()
    ann.say(type="subscribe", channel="trades", symbols=["sim:ETH/USDT"])
    await scene.deal(1)
    await scene.deal(1, "ETH/USDT")
    assert [message["symbol"] for message in ann.take()] == ["ETH/USDT"]
    ann.say(type="unsubscribe", channel="trades")
    assert listening(scene) == []


async def test_an_account_that_is_taken_away_or_given_is_told_so_by_what_comes() -> None:
    scene = Scene()
    client = await scene.connect()
    scene.users.change("ann", permissions={2: Permission(account_id=2)})
    scene.guards.tick()
    await scene.settle()
    assert listening(scene) == [2]
    scene.users.change("ann", permissions={1: Permission(account_id=1)})
    scene.guards.tick()
    await scene.settle()
    await scene.deal(1)
    await scene.deal(2)
    assert len(client.take()) == 1
    assert listening(scene) == [1]


async def test_what_is_committed_while_the_database_is_away_is_told_when_it_is_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(dashboard_private, "RETRY_S", (0.001, 0.002))
    scene = Scene()
    client = await scene.connect()
    scene.room.fault = AWAY
    await scene.deal(1)
    await until(lambda: scene.rig.tally.errors["engine_unavailable"] == 1)
    assert client.take() == [], "it is no matter of the client"
    scene.room.fault = None
    await until(lambda: client.conn.socket.written)
    assert [message["type"] for message in client.take()] == ["trade_executed"]


async def test_accounts_that_cannot_be_read_at_first_are_followed_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dashboard_private, "RETRY_S", (0.001, 0.002))
    scene = Scene()
    scene.room.fault = AWAY
    client = await scene.connect()
    assert listening(scene) == []
    scene.room.fault = None
    await until(lambda: listening(scene) == [1, 2])
    client.leave()


async def test_an_account_that_may_not_be_read_after_all_is_left_alone() -> None:
    scene = Scene()
    permissions = {number: Permission(account_id=number) for number in (1, 7)}
    scene.users.change("ann", permissions=permissions)
    client = await scene.connect()
    assert listening(scene) == [1]
    assert client.session._private is not None
    assert client.session._private._opening is None, "and not asked for again and again"


PORTFOLIO = {
    "type": "portfolio_update",
    "channel": "portfolio",
    "timestamp": "2026-02-07T14:30:00.123Z",
    "data": {
        "positions": {
            "BTC/USDT": {
                "symbol": "BTC/USDT", "quantity": 2, "average_price": 100, "market_price": 110,
                "unrealized_pnl": 20, "unrealized_pnl_pct": 10,
            }
        },
        "total_pnl": 20,
        "position_count": 1,
    },
}  # fmt: skip


async def valued(scene: Scene, price: float = 110) -> None:
    """What account 1 is worth is known."""
    await until(lambda: any(key.channel == "quotes" for key in scene.rig.sim.watched))
    scene.rig.sim.publish("quotes", "BTC/USDT", bid=price, ask=price)
    board = board_of(scene)
    await until(lambda: (shown := board._accounts.get(1)) and shown.newest and shown.newest.positions)


def board_of(scene: Scene) -> PortfolioBoard:
    assert scene.rig.dashboards.accounts is not None
    return scene.rig.dashboards.accounts.board


async def test_a_portfolio_is_told_as_the_protocol_has_it_and_when_it_has_changed() -> None:
    scene = Scene()
    client, bob, nobody = [await scene.connect(name) for name in ("ann", "bob", None)]
    await valued(scene)
    board_of(scene)._tick()
    (message,) = client.take()
    assert message == PORTFOLIO
    assert list(message) == list(PORTFOLIO)
    assert list(message["data"]) == ["positions", "total_pnl", "position_count"]
    board_of(scene)._tick()
    assert client.take() == [], "nothing has changed"
    assert (await scene.connect()).take() == [PORTFOLIO], "a newcomer is told at once"
    assert (bob.take(), nobody.take()) == ([], []), "it is not theirs"


async def test_what_is_not_live_says_so_and_no_change_is_no_silence() -> None:
    scene = Scene()
    client = await scene.connect()
    await valued(scene)
    (key,) = [key for key in scene.rig.sim.watched if key.channel == "quotes"]
    scene.rig.now_ns += 1
    board_of(scene)._tick()
    board_of(scene)._tick()
    assert board_of(scene).health.at(scene.rig.now_ns).last_update_ns == scene.rig.now_ns
    client.take()
    scene.rig.hub.lost(key, "upstream")
    await until(lambda: not board_of(scene)._accounts[1].is_live)
    scene.rig.now_ns += 1
    board_of(scene)._tick()
    (message,) = client.take()
    assert (message["data"]["stale"], message["data"]["positions"]["BTC/USDT"]["stale"]) == (True, True)
    health = board_of(scene).health.at(scene.rig.now_ns)
    assert (health.last_update_ns, health.error_count) == (scene.rig.now_ns - 1, 1)


async def test_a_portfolio_is_unsubscribed_and_taken_away_with_its_account() -> None:
    scene = Scene(reader=1)
    ann, nobody = await scene.connect(), await scene.connect(None)
    await valued(scene)
    assert [len(each.take()) for each in (ann, nobody)] == [0, 0], "the interval is not over"
    nobody.say(type="unsubscribe", channel="portfolio")
    scene.users.change("ann", permissions={1: Permission(account_id=1, strategies=frozenset({5}))})
    scene.guards.tick()
    await scene.settle()
    board_of(scene)._tick()
    assert (ann.take(), nobody.take()) == ([], []), "a part of an account is worth nothing by itself"
    assert not board_of(scene)._accounts


async def test_nothing_is_left_of_a_portfolio_that_nobody_is_shown() -> None:
    scene = Scene()
    client = await scene.connect()
    await valued(scene)
    client.leave()
    assert not board_of(scene)._accounts
    assert board_of(scene)._timer is None
