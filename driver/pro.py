"""`OmsCcxtProExchange`: the gateway as one of ccxt.pro's exchanges, with one WebSocket for all that it watches.

Joins the parts and says where things are. Must not know messages, feeds or unified methods.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, TypeVar

from ccxt.base.errors import (
    AccountNotEnabled,
    ArgumentsRequired,
    AuthenticationError,
    BaseError,
    ExchangeClosedByUser,
    PermissionDenied,
    RequestTimeout,
)

from driver.async_ import OmsCcxtExchange
from driver.by_socket import COMMANDS, OrdersBySocket
from driver.days import Days
from driver.errors import Refusal, RouteMissing, exception_of, of_answer
from driver.fetch_ws import FETCH_WS, FetchWs
from driver.hub import Hub, Settings
from driver.link import MESSAGE_BYTES_MAX
from driver.polling import poll
from driver.stream import Gap, Stream
from driver.watch_account import WatchAccount
from driver.watch_market import WatchMarket

T = TypeVar("T")
log = logging.getLogger(__name__)

SILENCE_MS: Final = 10_000
POLL_AFTER_MS: Final = 3_000
POLL_MS: Final = 1_000
UNREAD: Final = "unread"  # the reason of a gap that the program has made itself

PRO_HAS: Final = dict.fromkeys(
    (
        *("ws", "watchTicker", "watchTickers", "watchBidsAsks", "watchOrderBook", "watchOrderBookForSymbols"),
        *("watchTrades", "watchTradesForSymbols", "watchOHLCV", "watchOHLCVForSymbols"),
        *("watchOrders", "watchOrdersForSymbols", "watchMyTrades", "watchMyTradesForSymbols"),
        *("watchPosition", "watchPositions", "watchBalance"),
        *("unWatchTicker", "unWatchTickers", "unWatchBidsAsks", "unWatchOrderBook", "unWatchOrderBookForSymbols"),
        *("unWatchTrades", "unWatchTradesForSymbols", "unWatchOHLCV", "unWatchOHLCVForSymbols"),
        *("unWatchOrders", "unWatchMyTrades", "unWatchPositions", "unWatchBalance"),
        *("createOrderWs", "createOrdersWs", "editOrderWs", "cancelOrderWs", "cancelOrdersWs", "cancelAllOrdersWs"),
        *("createLimitOrderWs", "createMarketOrderWs", "createLimitBuyOrderWs", "createLimitSellOrderWs"),
        *("createMarketBuyOrderWs", "createMarketSellOrderWs", "createPostOnlyOrderWs", "createReduceOnlyOrderWs"),
        *("createStopOrderWs", "createStopLimitOrderWs", "createStopMarketOrderWs", "createTriggerOrderWs"),
        *("createStopLossOrderWs", "createTakeProfitOrderWs", "createOrderWithTakeProfitAndStopLossWs", *FETCH_WS),
    ),
    True,
)


class OmsCcxtProExchange(WatchMarket, WatchAccount, OrdersBySocket, FetchWs, OmsCcxtExchange):
    """One account of a gateway, as ccxt.pro has them.

    `on_gap`, an attribute or option, is called (and awaited, if there is something to await) with the `Gap` when
    something that was watched is lost for good.
    """

    own_has = PRO_HAS
    pro = True

    def __init__(self, config: dict[str, Any] = {}) -> None:
        self.hub = Hub(self)
        self.on_gap: Any = None
        self.days = Days(self._day_tickers, self._tickers_watched)
        self._telling: set[asyncio.Task[Any]] = set()
        self._private_feeds: dict[str, Any] = {}
        self._traded_at: tuple[int, str] | None = None
        self._balance_task: asyncio.Task[None] | None = None
        self._balance_due = asyncio.Event()
        super().__init__(config)

    async def close(self, clean_instance_data: bool = False) -> None:
        """As ccxt's: who waits is cancelled. Whoever watches again goes on; fills in between are not missed."""
        self._closes += 1
        if self._balance_task is not None:
            self._balance_task.cancel()
            self._balance_task = None
        self.days.close()
        await self.hub.close()
        if clean_instance_data:
            self.hub = Hub(self)
            self._private_feeds = {}
        await super().close(clean_instance_data)
        if clean_instance_data:
            self.markets_loading = None  # ccxt would go on believing that they are loaded

    # What the hub asks of its exchange

    def settings(self) -> Settings:
        given = self.options
        return Settings(
            timeout_ms=float(self.timeout),
            silence_ms=float(given.get("silence_ms", SILENCE_MS)),
            poll_after_ms=float(given.get("poll_after_ms", POLL_AFTER_MS)),
            poll_ms=float(given.get("poll_ms", POLL_MS)),
            redeliver=bool(given.get("redeliver")),
        )

    def stream_url(self) -> str:
        """Where the stream is: options['ws_url'], else beside `rest_url` when that is an option, else `urls`."""
        given = self.options.get("ws_url")
        if given is None:
            api = self.urls["api"]
            if self.options.get("base_url") is None and isinstance(api, dict) and api.get("ws"):
                given = api["ws"]
            else:
                given = f"ws{self.rest_url().removeprefix('http')}/v1/stream"
        return str(self.implode_hostname(str(given)))

    async def dial(self) -> Any:
        self.open()
        http, https, socks = self.check_ws_proxy_settings()
        session = self.get_socks_proxy_session(socks) if socks else self.session
        headers = {"x-api-key": self.apiKey} if self.apiKey else {}
        given = self.headers or {}
        return await session.ws_connect(
            self.stream_url(),
            headers={**given, **headers},
            proxy=http or https or None,
            max_msg_size=MESSAGE_BYTES_MAX,
            autoping=True,
        )

    def trace(self, way: str, text: str | bytes) -> None:
        """Shown to who asked for it by `verbose`, but no credential."""
        self.log("stream", way, "***" if way == "out" and '"action":"auth"' in str(text) else text)

    def credential(self) -> str:
        return str(self.apiKey)

    async def poll(self, streams: Sequence[Stream]) -> None:
        await poll(self, streams)

    # What the parts ask

    async def prepared(self, what: Callable[[], Awaitable[T]]) -> T:
        """What a watch call has to ask for first. Raises ExchangeClosedByUser when it was closed meanwhile.

        Else a call that was on its way would open anew what the program has just closed, and never close it.
        """
        self.open()
        closes = self._closes
        failure: Exception | None = None
        try:
            result = await what()
        except Exception as error:
            failure = error
        if self._closes != closes:
            if not self.hub.is_begun:
                await self.close_session()  # ccxt 4.5.64 opens a session for whoever asks
            raise ExchangeClosedByUser(f"{self.id} was closed by the program") from failure
        if failure is not None:
            raise failure
        return result

    async def traded_at(self) -> tuple[int, str]:
        """The number of the account, and the gateway's name of its exchange."""
        if self._traded_at is None:
            self._traded_at = await self._find_account()
        return self._traded_at

    async def _find_account(self) -> tuple[int, str]:
        account, exchange = self.traded_account(), self.options.get("exchange")
        if exchange is not None:
            return account, str(exchange)
        try:
            answer = await self.carry_out(self.read("oms/accounts"))
        except (RouteMissing, PermissionDenied, AuthenticationError) as error:
            # Without a key accounts are not told either, and the market may be for everybody.
            if isinstance(error, AuthenticationError) and self.apiKey:
                raise
            return account, await self._described_exchange()
        for row in answer["items"]:
            if account == row["id"]:
                return account, str(row["exchange"])
        raise AccountNotEnabled(f"{self.id}: there is no account {account} for this key")

    async def _described_exchange(self) -> str:
        """Raises ArgumentsRequired when nobody says: the gateway's default exchange may be another market."""
        if self.described is None:
            self.take_over(await self.carry_out(self.pass_through("describe", api="public")))
        name = (self.described or {}).get("exchange")
        if name is None:
            raise ArgumentsRequired(f"{self.id} requires options['exchange']: this gateway does not say the account's")
        return str(name)

    def is_elsewhere(self) -> bool:
        """Whether market data is watched of another exchange than the account's: REST is asked of that one."""
        given, own = self.options.get("exchange"), (self.described or {}).get("exchange")
        return given is not None and own is not None and given != own

    def given_up(self, channel: str, name: Any, count: int, item: Any) -> Any:
        """So many that the program did not read came before this one, and are given up: it is told, here and in it."""
        is_candle = isinstance(item, list)
        gap = Gap(channel, name[0] if is_candle else item["symbol"], UNREAD, "", 1, count, None)
        self.on_stream_gap(gap)
        if is_candle:  # it has no room for more
            return item
        return {**item, "info": {**item["info"], "gap": gap._asdict()}}

    def on_stream_gap(self, gap: Gap) -> None:
        told = self.on_gap or self.options.get("on_gap")
        if told is not None:
            try:
                waiting = told(gap)
            except Exception:  # the program's fault is no reason to lose the connection
                log.exception("on_gap failed")
            else:
                if inspect.isawaitable(waiting):
                    telling = asyncio.create_task(_awaited(waiting), name="tickwire on_gap")
                    self._telling.add(telling)
                    telling.add_done_callback(self._telling.discard)

    def stream_failure(self, code: str, message: str) -> BaseError:
        """The exception for a stream that is refused."""
        error: BaseError = exception_of(Refusal(code, message))
        return error

    async def command_by_socket(self, content: Any) -> Any:
        """The answer to a body of commands. Raises what all of them were refused with, as over HTTP.

        By HTTP where there is no socket: the request ids make sure that nothing is done twice.
        """
        hub = self.hub
        hub.start()
        if not hub.is_open and (hub.is_refused or hub.is_polling):
            return await self.request(COMMANDS, "private", "POST", {"content": content})
        try:
            async with asyncio.timeout(float(self.timeout) / 1000):
                answer = await hub.commands.execute(content)
        except TimeoutError as error:
            raise RequestTimeout(f"{self.id}: no answer to a command within {self.timeout} ms") from error
        results = answer["results"]
        if all(result["error"] for result in results):
            refused = of_answer(422, answer, "")
            assert refused is not None
            raise refused
        return answer


async def _awaited(told: Awaitable[Any]) -> None:
    try:
        await told
    except Exception:
        log.exception("on_gap failed")
