"""What `tickwire watch` shows: the newest state of one stream, its rate, its latency and its gaps.

Holds pure state and its rendering: messages and the time go in, text comes out. Must not know a socket or read a
clock.
"""

from __future__ import annotations

from collections import deque
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from gateway.net.position import position_after
from gateway.wire.stream import Position

RATE_WINDOW_NS: Final = 5_000_000_000
LATENCIES_KEPT: Final = 2_000
TRADES_SHOWN: Final = 12
LEVELS_SHOWN: Final = 10
LIVE: Final = "live"
QUOTE_FIELDS: Final = ("bid", "ask", "last", "bid_size", "ask_size", "volume")
BAR_FIELDS: Final = ("timeframe", "open", "high", "low", "close", "volume", "vwap", "timestamp", "closed")


class Book:
    """Both sides as the messages left them."""

    def __init__(self) -> None:
        self.bids: dict[float, float] = {}
        self.asks: dict[float, float] = {}

    def apply(self, kind: str, data: dict[str, Any]) -> None:
        """A snapshot replaces, an update changes the levels it names; size 0 deletes one."""
        for side, levels in ((self.bids, data["bids"]), (self.asks, data["asks"])):
            if kind == "snapshot":
                side.clear()
            for price, size in levels:
                if size:
                    side[price] = size
                else:
                    side.pop(price, None)

    def top(self, count: int) -> list[tuple[tuple[float, float] | None, tuple[float, float] | None]]:
        """The best `count` levels, bid beside ask."""
        bids = sorted(self.bids.items(), reverse=True)[:count]
        asks = sorted(self.asks.items())[:count]
        rows = max(len(bids), len(asks))
        return [(bids[i] if i < len(bids) else None, asks[i] if i < len(asks) else None) for i in range(rows)]


class View:
    """One stream as its messages tell it."""

    def __init__(self, channel: str, symbol: str) -> None:
        self.channel = channel
        self.symbol = symbol
        self.updates = 0
        self.gaps = 0
        self.missing = 0  # numbers that gaps announced
        self.unannounced = 0  # numbers missing without a word: a fault of the gateway
        self.reconnects = 0
        self.notice = "connecting"  # how it stands with the connection
        self._gap = ""  # the one that no update has followed yet
        self._position: Position | None = None
        self._arrivals_ns: deque[int] = deque()
        self._latencies_us: deque[float] = deque(maxlen=LATENCIES_KEPT)
        self._last: dict[str, Any] = {}
        self._trades: deque[dict[str, Any]] = deque(maxlen=TRADES_SHOWN)
        self._book = Book()

    def apply(self, body: dict[str, Any], now_ns: int) -> bool:
        """Take a message in; whether it was an update."""
        kind = body.get("type")
        if kind == "subscribed":
            self.notice = LIVE
        elif kind == "gap":
            self.gaps += 1
            self.missing += body["to"] - body["from"] + 1
            self._gap = f"gap {body['from']}..{body['to']} ({body['reason']})"
            if "new_epoch" in body:
                self._void()
        elif kind == "server_shutdown":
            self.notice = "the gateway is shutting down"
        elif "sequence" in body:
            self._update(body, now_ns)
        self._position = position_after(body, self.symbol, self._position)
        return "sequence" in body

    def lost(self, reason: str, retry_s: float) -> None:
        """The connection is gone."""
        self.reconnects += 1
        self.notice = f"{reason}; trying again in {retry_s:.1f} s"

    def _void(self) -> None:
        """Continuity is lost: what was known is valid no more. Trades that were made stay made."""
        self._gap += ", waiting for the exchange"
        self._last = {}
        self._book = Book()

    def _update(self, body: dict[str, Any], now_ns: int) -> None:
        epoch, sequence, data = body["epoch"], body["sequence"], body["data"]
        if self._position is not None and self._position.epoch == epoch and body["kind"] == "update":
            self.unannounced += max(0, sequence - self._position.sequence - 1)
        self.updates += 1
        self._gap = ""
        self._arrivals_ns.append(now_ns)
        if body["kind"] == "update" and body.get("t_in"):
            self._latencies_us.append((now_ns - body["t_in"]) / 1000)
        self._last = data
        if self.channel == "trades":
            self._trades.appendleft(data)
        elif self.channel == "book":
            self._book.apply(body["kind"], data)

    def rate(self, now_ns: int) -> float:
        """Updates a second, over the last seconds."""
        while self._arrivals_ns and self._arrivals_ns[0] < now_ns - RATE_WINDOW_NS:
            self._arrivals_ns.popleft()
        return len(self._arrivals_ns) / (RATE_WINDOW_NS / 1e9)

    def latency_us(self) -> tuple[float, float] | None:
        """(p50, p99) from the gateway's read of the exchange to ours, over the last updates; one clock only."""
        ordered = sorted(self._latencies_us)
        return (ordered[len(ordered) // 2], ordered[int(len(ordered) * 0.99)]) if ordered else None

    def line(self, body: dict[str, Any]) -> str:
        """One message as one plain line."""
        kind, data = body.get("type"), body.get("data", {})
        if kind == "gap":
            return f"gap {body['from']}..{body['to']} reason={body['reason']} epoch={body['epoch']}"
        if "sequence" not in body:
            return f"{kind}"
        sent = datetime.fromtimestamp((body.get("t_out") or 0) / 1e9, UTC)
        return f"{sent:%H:%M:%S.%f} {body['epoch']}:{body['sequence']} {kind} {self.symbol} {self._fields(data)}"

    def _fields(self, data: dict[str, Any]) -> str:
        if self.channel == "book":
            best = self._book.top(1)
            bid, ask = best[0] if best else (None, None)
            changed = len(data["bids"]) + len(data["asks"])
            return f"bid={_level(bid)} ask={_level(ask)} levels={changed}"
        return " ".join(f"{name}={_text(value)}" for name, value in data.items() if name not in {"symbol", "exchange"})

    def render(self, now_ns: int) -> RenderableType:
        """All of it, for a live terminal."""
        latency = self.latency_us()
        status = Text.assemble(
            (f"{self.rate(now_ns):.1f}/s", "bold"),
            f"   {self.updates} updates",
            f"   latency p50 {latency[0]:.0f} us, p99 {latency[1]:.0f} us" if latency else "",
            (f"   {self.gaps} gaps ({self.missing} updates)", "yellow" if self.gaps else ""),
            (f"   {self.unannounced} lost without a word", "bold red") if self.unannounced else "",
            f"   {self.reconnects} reconnects" if self.reconnects else "",
        )
        at = self._position
        position = f"{at.epoch}:{at.sequence}" if at else ""
        state = self._gap or self.notice if self.notice == LIVE else self.notice
        return Panel(
            Group(self._table(), status), title=f"{self.symbol} {self.channel}", subtitle=f"{state} {position}"
        )

    def _table(self) -> Table:
        if self.channel == "trades":
            table = Table("time", "side", "price", "size", "id", box=None)
            for trade in self._trades:
                fields = ("timestamp", "side", "price", "size", "trade_id")
                style = {"buy": "green", "sell": "red"}.get(str(trade.get("side")), "")
                table.add_row(*(_text(trade.get(name)) for name in fields), style=style)
            return table
        if self.channel == "book":
            table = Table("size", "bid", "ask", "size", box=None)
            for bid, ask in self._book.top(LEVELS_SHOWN):
                table.add_row(*map(_text, reversed(bid or ("", ""))), *map(_text, ask or ("", "")))
            return table
        table = Table(box=None, show_header=False)
        for name in QUOTE_FIELDS if self.channel == "quotes" else BAR_FIELDS:
            if name in self._last:
                table.add_row(name, _text(self._last[name]))
        return table


def _level(level: tuple[float, float] | None) -> str:
    return f"{_text(level[0])}x{_text(level[1])}" if level else "-"


def _text(value: Any) -> str:
    """A value as people write it: no exponent, and a dash for what the exchange does not say."""
    if value is None:
        return "-"
    return format(Decimal(repr(value)), "f") if isinstance(value, float) else str(value)
