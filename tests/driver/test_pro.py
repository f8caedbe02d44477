"""The pro class: what it says of itself, where it connects, and orders over the socket."""

from __future__ import annotations

import asyncio
import copy
import sys
import threading
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import ccxt.pro
import pytest
from aiohttp import TCPConnector
from ccxt.async_support.base import exchange as of_ccxt
from ccxt.async_support.base.exchange import Exchange
from ccxt.base.errors import (
    AccountNotEnabled,
    ArgumentsRequired,
    AuthenticationError,
    ExchangeClosedByUser,
    InsufficientFunds,
    InvalidProxySettings,
    NetworkError,
    NotSupported,
    RequestTimeout,
)

from driver.cursors import EachOf
from driver.pro import PRO_HAS, OmsCcxtProExchange
from driver.stream import Gap
from tests.driver.pro_client import Pro, order, pro_client, quote, trade
from tests.driver.proxy import Fault, faulty
from tests.driver.stream_server import KEY, stream_server
from tests.waiting import until

GAP = Gap("quotes", "sim:BTC/USDT", "upstream", "e1", 8, 8, "e2")


@pytest.fixture(name="pro")
async def _pro() -> AsyncIterator[Pro]:
    async with pro_client() as pro:
        yield pro


def done(asked: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A command that went well."""
    result = {"index": 0, "ok": True, "command_id": 1, "order_id": 7, "error": None, **more}
    return {"type": "command_result", "id": asked["id"], "data": {"results": [result]}}


async def test_it_is_an_exchange_of_ccxt_and_says_what_it_watches(pro: Pro) -> None:
    assert isinstance(pro.exchange, Exchange)
    assert all(pro.exchange.has[name] is True for name in PRO_HAS)
    await pro.exchange.load_markets()
    assert all(pro.exchange.has[name] is True for name in PRO_HAS)
    named = {name for name in PRO_HAS if name != "ws"}
    assert all(callable(getattr(pro.exchange, name)) for name in named)


async def test_where_the_stream_is(pro: Pro) -> None:
    def url(**config: Any) -> str:
        exchange = OmsCcxtProExchange({"apiKey": "k", **config})
        exchange.hub = None  # type: ignore[assignment]  # nothing is opened
        return exchange.stream_url()

    assert url(hostname="example.org:1") == "ws://example.org:1/v1/stream"
    assert url(options={"base_url": "https://example.org/tw/"}) == "wss://example.org/tw/v1/stream"
    assert url(options={"ws_url": "ws://{hostname}/x"}, hostname="h") == "ws://h/x"
    assert url(urls={"api": "http://example.org"}) == "ws://example.org/v1/stream"


async def test_the_key_is_shown_in_a_header_and_nowhere_else(pro: Pro, capsys: pytest.CaptureFixture[str]) -> None:
    pro.exchange.verbose = True
    waiting = await pro.subscribed(pro.exchange.watch_ticker("BTC/USDT"))
    assert pro.server.headers["x-api-key"] == KEY
    await pro.server.say({"type": "reauthenticate", "deadline_ms": 1})
    await pro.server.until_asked("auth")
    await pro.update("quotes", 1, **quote(1))
    await waiting
    shown = capsys.readouterr()
    assert '"action":"subscribe"' in shown.out
    assert KEY not in shown.out + shown.err


@pytest.mark.parametrize("setting", ["wsProxy", "ws_proxy", "wssProxy"])
async def test_the_stream_goes_by_the_proxy(pro: Pro, setting: str) -> None:
    async with faulty(pro.server.port, lambda: Fault.NONE, delay_s=0) as line:
        setattr(pro.exchange, setting, f"http://127.0.0.1:{line.port}")
        waiting = await pro.subscribed(pro.exchange.watch_trades("BTC/USDT"))
        assert line.seen[Fault.NONE], "the answer to the upgrade went by it"
        assert line.targets[0].endswith(f"127.0.0.1:{pro.server.port}/v1/stream")
        await pro.update("trades", 1, **trade(1))
        assert len(await waiting) == 1


async def test_of_several_proxies_none_is_chosen(pro: Pro, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "aiohttp_socks", None)  # it cannot be imported
    pro.exchange.wsProxy = pro.exchange.wsSocksProxy = "http://127.0.0.1:1"
    with pytest.raises(InvalidProxySettings):
        await pro.exchange.watch_trades("BTC/USDT")
    pro.exchange.wsProxy = None
    with pytest.raises(NotSupported, match="aiohttp_socks"):
        await pro.exchange.watch_trades("BTC/USDT")


@pytest.mark.parametrize("by_socks", [False, True])
async def test_the_key_goes_nowhere_that_a_redirect_leads_to(
    pro: Pro, monkeypatch: pytest.MonkeyPatch, *, by_socks: bool
) -> None:
    if by_socks:  # what ccxt makes of the proxy's URL when aiohttp_socks is there
        direct = SimpleNamespace(from_url=lambda *_, **__: TCPConnector())
        monkeypatch.setitem(sys.modules, "aiohttp_socks", SimpleNamespace(ProxyConnector=direct))
        monkeypatch.setattr(of_ccxt, "SocksProxyConnector", direct, raising=False)  # of ccxt 4.5.64
        pro.exchange.wsSocksProxy = "socks5://127.0.0.1:1"
    async with stream_server() as elsewhere:
        pro.server.status, pro.server.location = 302, f"{elsewhere.url}/v1/stream"
        waiting = asyncio.create_task(pro.exchange.watch_trades("BTC/USDT"))
        await until(lambda: pro.server.dials >= 2)
        waiting.cancel()
        assert elsewhere.dials == 0


async def test_the_exchange_is_found_by_the_account(pro: Pro) -> None:
    pro.exchange.options["account_id"] = "1"
    assert await pro.exchange.traded_at() == (1, "sim")
    for options, found in (({"exchange": "okx"}, (1, "okx")), ({"account_id": 9}, None)):
        other = Pro(pro.server, options=options)
        if found:
            assert await other.exchange.traded_at() == found
        else:
            with pytest.raises(AccountNotEnabled):
                await other.exchange.traded_at()
        await other.exchange.close()


async def test_without_a_key_the_market_of_the_accounts_exchange_is_watched(pro: Pro) -> None:
    pro.server.answers["/oms/accounts"] = lambda _: {"code": "missing_api_key", "message": "no", "status": 401}
    other = Pro(pro.server, apiKey=None)
    assert await other.exchange.traded_at() == (1, "sim")
    await other.exchange.close()
    refused = Pro(pro.server)
    with pytest.raises(AuthenticationError):
        await refused.exchange.traded_at()
    await refused.exchange.close()


async def test_where_nobody_says_whose_exchange_it_is_no_market_is_taken_for_it(pro: Pro) -> None:
    del pro.server.answers["/oms/accounts"]
    await pro.subscribed(pro.exchange.watch_ticker("BTC/USDT"))
    assert pro.server.asked[0]["symbols"] == ["sim:BTC/USDT"]
    pro.server.answers["/ccxt/1/describe"] = lambda _: {"result": {"id": "binance", "has": {}}}
    other = Pro(pro.server)
    with pytest.raises(ArgumentsRequired, match="exchange"):
        await other.exchange.watch_ticker("BTC/USDT")
    await other.exchange.close()


async def test_an_order_goes_over_the_socket(pro: Pro) -> None:
    pro.server.answers["command"] = done
    pro.server.answers["/oms/orders/7"] = lambda _: {"items": [order(7)], "missing": []}
    made = await pro.exchange.create_order_ws("BTC/USDT", "limit", "buy", 0.5, 59_000, {"clientOrderId": "mine-7"})
    assert (made["id"], made["clientOrderId"], made["status"]) == ("7", "mine-7", "open")
    (asked,) = await pro.server.until_asked("command")
    payload = asked["payload"]
    assert (payload["command"], payload["payload"]["qty"], bool(payload["request_id"])) == ("send_order", "0.5", True)
    await pro.exchange.createLimitBuyOrderWs("BTC/USDT", 0.5, 59_000)
    canceled = await pro.exchange.cancelOrderWs("7")
    assert canceled["id"] == "7"
    await pro.exchange.edit_order_ws("7", "BTC/USDT", "limit", "buy", 0.4, 59_001)
    names = [each["payload"]["command"] for each in await pro.server.until_asked("command", 4)]
    assert names == ["send_order", "send_order", "cancel_order", "change_order"]
    assert not [path for path, _ in pro.server.requests if path == "/oms/commands"]


async def test_a_refusal_is_the_exception_that_it_is_over_http(pro: Pro) -> None:
    error = {"code": "insufficient_funds", "message": "no", "details": {}}
    pro.server.answers["command"] = lambda asked: done(asked, ok=False, error=error)
    with pytest.raises(InsufficientFunds):
        await pro.exchange.create_order_ws("BTC/USDT", "market", "buy", 0.5)


async def test_an_answer_that_was_lost_is_asked_for_again_with_the_same_id(pro: Pro) -> None:
    pro.server.answers["command"] = lambda asked: None
    pro.server.answers["/oms/orders/7"] = lambda _: {"items": [order(7)], "missing": []}
    making = asyncio.create_task(pro.exchange.create_order_ws("BTC/USDT", "market", "buy", 0.5))
    await pro.server.until_asked("command")
    pro.server.answers["command"] = lambda asked: done(asked, replayed=True)
    await pro.server.drop()
    assert (await making)["id"] == "7"
    first, again = await pro.server.until_asked("command", 2)
    assert first == again


async def test_without_a_socket_an_order_goes_by_http(pro: Pro) -> None:
    pro.server.status = 404
    pro.server.answers["/oms/commands"] = lambda body: done({"id": ""})["data"]
    pro.server.answers["/oms/orders/7"] = lambda _: {"items": [order(7)], "missing": []}
    pro.exchange.hub.start()
    await until(lambda: pro.exchange.hub.is_refused)
    assert (await pro.exchange.create_order_ws("BTC/USDT", "market", "buy", 0.5))["id"] == "7"


async def test_a_command_without_an_answer_is_of_unknown_outcome() -> None:
    options = {"command_timeout_ms": 200, "retries": 1}
    async with pro_client(options=options, timeout=100) as pro:
        pro.server.answers["command"] = lambda asked: None
        with pytest.raises(RequestTimeout, match="clientOrderId mine"):
            await pro.exchange.create_order_ws("BTC/USDT", "market", "buy", 0.5, None, {"clientOrderId": "mine"})


async def test_closing_with_a_command_under_way_says_by_what_it_is_found_and_opens_nothing(pro: Pro) -> None:
    pro.server.answers["command"] = lambda asked: None
    params = {"clientOrderId": "mine"}
    making = asyncio.create_task(pro.exchange.create_order_ws("BTC/USDT", "market", "buy", 0.5, None, params))
    await pro.server.until_asked("command")
    await pro.exchange.close()
    with pytest.raises(RequestTimeout, match="clientOrderId mine"):
        await making
    assert (pro.exchange.session, pro.exchange.hub.is_begun, pro.server.dials) == (None, False, 1)


async def test_a_wrong_key_is_an_authentication_error(pro: Pro) -> None:
    pro.server.status = 401
    with pytest.raises(AuthenticationError):
        await pro.exchange.watch_ticker("BTC/USDT")


async def test_a_gap_is_told_to_the_attribute_or_the_option(pro: Pro) -> None:
    gaps: list[Any] = []
    pro.exchange.on_gap = None
    pro.exchange.options["on_gap"] = gaps.append
    waiting = await pro.subscribed(pro.exchange.watch_ticker("BTC/USDT"))
    await pro.server.say({
        "type": "gap", "channel": "quotes", "symbol": "sim:BTC/USDT", "epoch": "quotes-sim:BTC/USDT", "from": 1,
        "to": 1, "reason": "upstream", "new_epoch": "quotes-sim:BTC/USDT",
    })  # fmt: skip
    await pro.update("quotes", 1, **quote(1))
    assert (await waiting)["info"]["gap"]["reason"] == "upstream"
    assert [gap.reason for gap in gaps] == ["upstream"]
    pro.exchange.options["on_gap"] = None


async def test_a_program_that_fails_to_hear_of_a_gap_keeps_its_connection(
    pro: Pro, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(gap: Any) -> None:
        raise ValueError("the program's own")

    pro.exchange.on_gap = fail
    waiting = await pro.subscribed(pro.exchange.watch_ticker("BTC/USDT"))
    epoch = "quotes-sim:BTC/USDT"
    await pro.server.say({
        "type": "gap", "channel": "quotes", "symbol": "sim:BTC/USDT", "epoch": epoch, "from": 1, "to": 1,
        "reason": "upstream", "new_epoch": epoch,
    })  # fmt: skip
    await pro.update("quotes", 1, **quote(1))
    await waiting
    assert pro.server.dials == 1
    assert "the program's own" in caplog.text


async def test_who_does_not_read_is_told_what_was_given_up(pro: Pro, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(EachOf, "_too_many", lambda self: 2)
    waiting = await pro.subscribed(pro.exchange.watch_trades("BTC/USDT"))
    await pro.update("trades", 1, **trade(1))
    await waiting
    (watch,) = pro.exchange.hub.watches.values()
    watch.cursor.unread_max = 3
    for number in range(2, 7):
        await pro.update("trades", number, **trade(number))
    await until(lambda: pro.exchange.trades["BTC/USDT"][-1]["id"] == "6")
    assert [(gap.channel, gap.name, gap.reason, gap.last) for gap in pro.gaps] == [("trades", "BTC/USDT", "unread", 2)]
    told = await pro.exchange.watch_trades("BTC/USDT")
    assert [each["id"] for each in told] == ["4", "5", "6"]
    assert [each["info"].get("gap", {}).get("reason") for each in told] == ["unread", None, None]
    assert "gap" not in pro.exchange.trades["BTC/USDT"][3]["info"], "others have read it all"


def test_candles_that_are_given_up_are_told_and_the_next_one_stays_a_candle() -> None:
    told: list[Any] = []
    exchange = OmsCcxtProExchange({"apiKey": "k"})
    exchange.on_gap = told.append
    candle = [1, 2.0, 3.0, 1.0, 2.0, 5.0]
    assert exchange.given_up("bars", ("BTC/USDT", "1m"), 7, candle) == candle
    assert [(gap.channel, gap.name, gap.reason, gap.last) for gap in told] == [("bars", "BTC/USDT", "unread", 7)]


async def test_a_gap_is_told_to_who_has_to_be_awaited(pro: Pro, caplog: pytest.LogCaptureFixture) -> None:
    told: list[Any] = []

    async def tell(gap: Any) -> None:
        await asyncio.sleep(0)
        told.append(gap)
        raise ValueError("the program's own")

    pro.exchange.on_gap = tell
    pro.exchange.on_stream_gap(GAP)
    await until(lambda: "on_gap failed" in caplog.text)
    assert told == [GAP]


async def test_ccxts_other_ways_to_order_go_over_the_socket_too(pro: Pro, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[Any] = []

    async def create_order_ws(*arguments: Any) -> None:
        sent.append(arguments)

    await pro.exchange.load_markets()
    for name in ("create_order_ws", "createOrderWs"):  # versions of ccxt call one or the other
        monkeypatch.setattr(pro.exchange, name, create_order_ws)
    await pro.exchange.create_stop_loss_order_ws("BTC/USDT", "market", "sell", 1, None, 50)
    await pro.exchange.create_take_profit_order_ws("BTC/USDT", "market", "sell", 1, None, 90)
    await pro.exchange.create_order_with_take_profit_and_stop_loss_ws("BTC/USDT", "market", "buy", 1, None, 90, 50)
    assert sent[0][-1] == {"stopLossPrice": 50}
    assert sent[1][-1] == {"takeProfitPrice": 90}
    assert set(sent[2][-1]) == {"takeProfit", "stopLoss"}


async def test_closing_cancels_who_waits_and_watching_again_works(pro: Pro) -> None:
    for count in (1, 2, 3):
        waiting = await pro.subscribed(pro.exchange.watch_ticker("BTC/USDT"), count)
        await pro.exchange.close()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert pro.exchange.session is None
    await pro.exchange.close(True)
    waiting = await pro.subscribed(pro.exchange.watch_ticker("BTC/USDT"), 4)
    await pro.update("quotes", 1, "snapshot", **quote(1))
    await waiting


async def test_a_call_that_was_on_its_way_does_not_open_what_was_closed(pro: Pro) -> None:
    watching = asyncio.create_task(pro.exchange.watch_ticker("BTC/USDT"))
    await until(lambda: pro.server.requests)
    await pro.exchange.close()
    with pytest.raises(ExchangeClosedByUser):
        await watching
    assert (pro.exchange.session, pro.server.dials) == (None, 0)


async def test_a_gateway_that_is_away_is_a_network_error() -> None:
    async with pro_client(timeout=200) as pro:
        await pro.exchange.load_markets()
        await pro.exchange.traded_at()
        pro.exchange.options["ws_url"] = "ws://127.0.0.1:1/v1/stream"
        with pytest.raises(NetworkError):
            await pro.exchange.watch_ticker("BTC/USDT")


async def test_clients_on_several_loops_share_one_options_object(pro: Pro) -> None:
    """As freqtrade has them: a client for orders, one for data, and one that watches in a thread of its own."""
    config = pro.config()
    seen: list[Any] = []
    ready, leave = threading.Event(), threading.Event()

    async def watch() -> None:
        other: Any = OmsCcxtProExchange({**config, "options": config["options"]})
        seen.append(other)
        ready.set()
        try:
            while not leave.is_set():
                await other.watch_ohlcv("BTC/USDT", "1m")
        finally:
            await other.close()

    thread = threading.Thread(target=lambda: asyncio.run(asyncio.wait_for(watch(), 20)))
    thread.start()
    mine: Any = OmsCcxtProExchange({**config, "options": config["options"]})
    assert await mine.fetch_markets()
    await pro.server.until_asked("subscribe")
    data: dict[str, Any] = {
        "open": 1,
        "high": 2,
        "low": 0,
        "close": 1,
        "volume": 3,
        "timestamp": "2026-11-21T09:00:00.000Z",
    }
    await pro.update("bars", 1, **data)
    await until(lambda: seen[0].ohlcvs.get("BTC/USDT", {}).get("1m"))
    assert copy.deepcopy(seen[0].ohlcvs["BTC/USDT"]["1m"])[0][4] == 1
    leave.set()
    await pro.update("bars", 2, **data)
    await asyncio.to_thread(thread.join)
    await mine.close()


async def test_it_is_found_by_its_name() -> None:
    from driver.registry import register

    register()
    assert getattr(ccxt.pro, "tickwire") is OmsCcxtProExchange  # noqa: B009  # ccxt does not know it
