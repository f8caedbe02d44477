"""The REST market data: Binance's paths, shapes, limits and error codes.

Reads the feed's markets and changes nothing; the signed endpoints are in `private`.
"""

from collections.abc import Awaitable, Callable, Mapping

import orjson
from aiohttp import web

from loadtest.exchange import filters, messages, params
from loadtest.exchange.bars import INTERVALS_MS, Bar, Trade, next_open_time
from loadtest.exchange.decimals import DIGITS, ONE, show
from loadtest.exchange.feed import Feed
from loadtest.exchange.market import AggTrade, Market, Spec
from loadtest.exchange.orders import Type
from loadtest.exchange.reports import STP_MODE

Query = Mapping[str, str]
JSON_TYPE = "application/json"
PREFIXES = ("/api/v3", "/api/v1")
DEPTH_MAX = 5_000
ROWS_MAX = 1_000
_RATE_LIMITS = [
    {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 6_000},
    {"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": 100},
    {"rateLimitType": "ORDERS", "interval": "DAY", "intervalNum": 1, "limit": 200_000},
    {"rateLimitType": "RAW_REQUESTS", "interval": "MINUTE", "intervalNum": 5, "limit": 61_000},
]


class Rest:
    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self._answers: dict[str, Callable[[Query], bytes]] = {
            "ping": lambda _: b"{}",
            "time": lambda _: orjson.dumps({"serverTime": feed.now_ms()}),
            "exchangeInfo": self._exchange_info,
            "depth": self._depth,
            "ticker/24hr": lambda query: self._tickers(query, self._day_full_or_mini(query)),
            "ticker/bookTicker": lambda query: self._tickers(query, _book_ticker),
            "ticker/price": lambda query: self._tickers(query, _price_ticker),
            "trades": self._trades,
            "aggTrades": self._agg_trades,
            "klines": self._klines,
        }

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get(f"{prefix}/{path}", self._handler(answer))
            for prefix in PREFIXES
            for path, answer in self._answers.items()
        ]

    @staticmethod
    def _handler(answer: Callable[[Query], bytes]) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def handle(request: web.Request) -> web.Response:
            try:
                return web.Response(body=answer(request.query), content_type=JSON_TYPE)
            except params.BinanceError as error:
                return web.Response(status=error.status, body=error.body(), content_type=JSON_TYPE)

        return handle

    def _exchange_info(self, query: Query) -> bytes:
        markets, _ = params.several(query, self._feed.markets)
        return orjson.dumps(
            {
                "timezone": "UTC",
                "serverTime": self._feed.now_ms(),
                "rateLimits": _RATE_LIMITS,
                "exchangeFilters": [],
                "symbols": [_listing(market.spec) for market in markets],
            }
        )

    def _depth(self, query: Query) -> bytes:
        market = params.listed(query, self._feed.markets)
        return messages.depth(market.book, params.limit(query, 100, DEPTH_MAX))

    def _tickers(self, query: Query, row: Callable[[Market], dict[str, object]]) -> bytes:
        markets, single = params.several(query, self._feed.markets)
        return orjson.dumps(row(markets[0]) if single else [row(market) for market in markets])

    def _day_full_or_mini(self, query: Query) -> Callable[[Market], dict[str, object]]:
        form = query.get("type", "FULL")
        if form not in ("FULL", "MINI"):
            raise params.BinanceError(-1139, "Invalid ticker type.")
        now_ms = self._feed.now_ms()
        return lambda market: _day_ticker(market, now_ms, full=form == "FULL")

    def _trades(self, query: Query) -> bytes:
        market = params.listed(query, self._feed.markets)
        count = params.limit(query, 500, ROWS_MAX)
        return orjson.dumps([_trade(trade) for trade in list(market.trades)[-count:]])

    def _agg_trades(self, query: Query) -> bytes:
        market = params.listed(query, self._feed.markets)
        count = params.limit(query, 500, ROWS_MAX)
        start_ms, end_ms = params.time_range(query)
        from_id = params.integer(query, "fromId")
        if from_id is not None and (start_ms is not None or end_ms is not None):
            raise params.BinanceError(-1128, "Combination of optional parameters invalid.")
        rows = [
            made
            for made in market.agg_trades
            if (from_id is None or made.id >= from_id)
            and (start_ms is None or made.time_ms >= start_ms)
            and (end_ms is None or made.time_ms <= end_ms)
        ]
        forward = from_id is not None or start_ms is not None
        return orjson.dumps([_agg_trade(made) for made in (rows[:count] if forward else rows[-count:])])

    def _klines(self, query: Query) -> bytes:
        market = params.listed(query, self._feed.markets)
        interval = query.get("interval")
        if not interval:
            raise params.missing("interval")
        if interval not in INTERVALS_MS:
            raise params.BinanceError(-1120, "Invalid interval.")
        start_ms, end_ms = params.time_range(query)
        count = params.limit(query, 500, ROWS_MAX)
        settled_ms = self._feed.now_ms() - market.late_ms
        bars = market.bars.rows(interval, settled_ms, start_ms, end_ms, count)
        return orjson.dumps([_kline(interval, bar) for bar in bars])


def _listing(spec: Spec) -> dict[str, object]:
    return {
        "symbol": spec.symbol,
        "status": "TRADING",
        "baseAsset": spec.base,
        "baseAssetPrecision": DIGITS,
        "quoteAsset": spec.quote,
        "quotePrecision": DIGITS,
        "quoteAssetPrecision": DIGITS,
        "baseCommissionPrecision": DIGITS,
        "quoteCommissionPrecision": DIGITS,
        "orderTypes": [kind.value for kind in Type],
        "icebergAllowed": False,
        "ocoAllowed": False,
        "otoAllowed": False,
        "quoteOrderQtyMarketAllowed": True,
        "allowTrailingStop": False,
        "cancelReplaceAllowed": True,
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": False,
        "filters": filters.listing(spec),
        "permissions": [],
        "permissionSets": [["SPOT"]],
        "defaultSelfTradePreventionMode": STP_MODE,
        "allowedSelfTradePreventionModes": [STP_MODE],
    }


def _best(market: Market) -> tuple[str, str, str, str]:
    best = market.book.best()
    return (show(0),) * 4 if best is None else (show(best[0]), show(best[1]), show(best[2]), show(best[3]))


def _book_ticker(market: Market) -> dict[str, object]:
    bid, bid_size, ask, ask_size = _best(market)
    return {"symbol": market.spec.symbol, "bidPrice": bid, "bidQty": bid_size, "askPrice": ask, "askQty": ask_size}


def _price_ticker(market: Market) -> dict[str, object]:
    return {"symbol": market.spec.symbol, "price": show(market.trades[-1].price if market.trades else 0)}


def _day_ticker(market: Market, now_ms: int, *, full: bool) -> dict[str, object]:
    day = market.bars.day(now_ms - market.late_ms) or Bar(now_ms, 0)
    common: dict[str, object] = {
        "symbol": market.spec.symbol,
        "openPrice": show(day.open),
        "highPrice": show(day.high),
        "lowPrice": show(day.low),
        "lastPrice": show(day.close),
        "volume": show(day.volume),
        "quoteVolume": show(day.quote_volume // ONE),
        "openTime": day.opened_ms,
        "closeTime": now_ms,
        "firstId": day.first_id,
        "lastId": day.last_id,
        "count": day.count,
    }
    if not full:
        return common
    bid, bid_size, ask, ask_size = _best(market)
    return common | {
        "priceChange": show(day.close - day.open),
        "priceChangePercent": messages.change_percent(day),
        "weightedAvgPrice": show(messages.average_price(day)),
        "prevClosePrice": show(day.open),
        "lastQty": show(market.trades[-1].size if market.trades else 0),
        "bidPrice": bid,
        "bidQty": bid_size,
        "askPrice": ask,
        "askQty": ask_size,
    }


def _trade(trade: Trade) -> dict[str, object]:
    return {
        "id": trade.id,
        "price": show(trade.price),
        "qty": show(trade.size),
        "quoteQty": show(trade.price * trade.size // ONE),
        "time": trade.time_ms,
        "isBuyerMaker": trade.buyer_is_maker,
        "isBestMatch": True,
    }


def _agg_trade(made: AggTrade) -> dict[str, object]:
    return {
        "a": made.id,
        "p": show(made.price),
        "q": show(made.size),
        "f": made.first_id,
        "l": made.last_id,
        "T": made.time_ms,
        "m": made.buyer_is_maker,
        "M": True,
    }


def _kline(interval: str, bar: Bar) -> list[object]:
    return [
        bar.opened_ms,
        show(bar.open),
        show(bar.high),
        show(bar.low),
        show(bar.close),
        show(bar.volume),
        next_open_time(interval, bar.opened_ms) - 1,
        show(bar.quote_volume // ONE),
        bar.count,
        show(bar.taker_volume),
        show(bar.taker_quote_volume // ONE),
        "0",
    ]
