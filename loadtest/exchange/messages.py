"""Binance's stream payloads as bytes, from the state of a market.

Pure functions. Text is formatted by hand because these are the exchange's hot path and every number in them is text.
"""

from collections.abc import Iterable

from loadtest.exchange.bars import Bar, Trade, next_open_time
from loadtest.exchange.book import Best, Book, Diff
from loadtest.exchange.decimals import ONE, show
from loadtest.exchange.market import AggTrade, Market


def _levels(levels: Iterable[tuple[int, int]]) -> str:
    return ",".join([f'["{show(price)}","{show(size)}"]' for price, size in levels])


def _flag(value: bool) -> str:
    return "true" if value else "false"


def trade(symbol: str, made: Trade, event_ms: int) -> bytes:
    return (
        f'{{"e":"trade","E":{event_ms},"s":"{symbol}","t":{made.id},"p":"{show(made.price)}","q":"{show(made.size)}",'
        f'"T":{made.time_ms},"m":{_flag(made.buyer_is_maker)},"M":true}}'
    ).encode()


def agg_trade(symbol: str, made: AggTrade, event_ms: int) -> bytes:
    return (
        f'{{"e":"aggTrade","E":{event_ms},"s":"{symbol}","a":{made.id},"p":"{show(made.price)}",'
        f'"q":"{show(made.size)}","f":{made.first_id},"l":{made.last_id},"T":{made.time_ms},'
        f'"m":{_flag(made.buyer_is_maker)},"M":true}}'
    ).encode()


def book_ticker(symbol: str, update_id: int, best: Best) -> bytes:
    return (
        f'{{"u":{update_id},"s":"{symbol}","b":"{show(best.bid)}","B":"{show(best.bid_size)}",'
        f'"a":"{show(best.ask)}","A":"{show(best.ask_size)}"}}'
    ).encode()


def depth_update(symbol: str, diff: Diff, event_ms: int) -> bytes:
    return (
        f'{{"e":"depthUpdate","E":{event_ms},"s":"{symbol}","U":{diff.first_id},"u":{diff.last_id},'
        f'"b":[{_levels(diff.bids)}],"a":[{_levels(diff.asks)}]}}'
    ).encode()


def depth(book: Book, count: int) -> bytes:
    """A partial book: the depthN streams and the REST depth have the same shape."""
    return (
        f'{{"lastUpdateId":{book.update_id},"bids":[{_levels(book.bids.top(count))}],'
        f'"asks":[{_levels(book.asks.top(count))}]}}'
    ).encode()


def kline(symbol: str, interval: str, bar: Bar, event_ms: int, *, closed: bool) -> bytes:
    closes_ms = next_open_time(interval, bar.opened_ms) - 1
    return (
        f'{{"e":"kline","E":{event_ms},"s":"{symbol}","k":{{"t":{bar.opened_ms},"T":{closes_ms},"s":"{symbol}",'
        f'"i":"{interval}","f":{bar.first_id},"L":{bar.last_id},"o":"{show(bar.open)}","c":"{show(bar.close)}",'
        f'"h":"{show(bar.high)}","l":"{show(bar.low)}","v":"{show(bar.volume)}","n":{bar.count},"x":{_flag(closed)},'
        f'"q":"{show(bar.quote_volume // ONE)}","V":"{show(bar.taker_volume)}",'
        f'"Q":"{show(bar.taker_quote_volume // ONE)}","B":"0"}}}}'
    ).encode()


def change_percent(day: Bar) -> str:
    return f"{(day.close - day.open) / day.open * 100:.3f}"


def average_price(day: Bar) -> int:
    return day.quote_volume // day.volume if day.volume else 0


def ticker(market: Market, now_ms: int) -> bytes | None:
    """The 24-hour ticker; None before the first trade or while a side of the book is empty."""
    day, best = market.bars.day(now_ms - market.late_ms), market.book.best()
    if day is None or best is None:
        return None
    return (
        f'{{"e":"24hrTicker","E":{now_ms},"s":"{market.spec.symbol}","p":"{show(day.close - day.open)}",'
        f'"P":"{change_percent(day)}","w":"{show(average_price(day))}","x":"{show(day.open)}","c":"{show(day.close)}",'
        f'"Q":"{show(market.trades[-1].size)}","b":"{show(best.bid)}","B":"{show(best.bid_size)}",'
        f'"a":"{show(best.ask)}","A":"{show(best.ask_size)}","o":"{show(day.open)}","h":"{show(day.high)}",'
        f'"l":"{show(day.low)}","v":"{show(day.volume)}","q":"{show(day.quote_volume // ONE)}",'
        f'"O":{day.opened_ms},"C":{now_ms},"F":{day.first_id},"L":{day.last_id},"n":{day.count}}}'
    ).encode()


def mini_ticker(market: Market, now_ms: int) -> bytes | None:
    day = market.bars.day(now_ms - market.late_ms)
    if day is None:
        return None
    return (
        f'{{"e":"24hrMiniTicker","E":{now_ms},"s":"{market.spec.symbol}","c":"{show(day.close)}",'
        f'"o":"{show(day.open)}","h":"{show(day.high)}","l":"{show(day.low)}","v":"{show(day.volume)}",'
        f'"q":"{show(day.quote_volume // ONE)}"}}'
    ).encode()
