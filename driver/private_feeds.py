"""What happens to an account, in ccxt's structures and caches: orders, deals and positions.

Each event is taken once, whether it came by the stream or, while there was none, by REST. Pure but for the caches. Must
not know sockets, sequences, or `watch_*` calls.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from itertools import product
from typing import Any, Final

from ccxt.async_support.base.ws.cache import ArrayCacheBySymbolById, ArrayCacheBySymbolBySide

from driver.cursors import Wakes
from driver.feeds import Feed, Message
from driver.mappers.trade import joined
from driver.stream import Gap, Stream

About = tuple[int | None, str]  # a strategy (None: any) and a symbol ("": any)
Raw = Mapping[str, Any]  # an order, deal or position as the gateway tells it
ORDERS_WITH_DEALS_MAX: Final = 2_000  # whose deals are remembered, for the fees of the order
VERSIONS_MAX: Final = 10_000  # of orders: the cache may keep less than REST tells again


class PrivateFeed(Feed):
    """What the three have: watchers of everything and of one symbol, and what happened before the program came."""

    events: frozenset[str] = frozenset()  # that are about a row; others are not for ccxt

    def __init__(self, cache: Any, *hooks: Any) -> None:
        super().__init__("", *hooks)
        self.cache = cache
        self.strategies: set[int | None] = set()  # those that are of interest; None or none at all: all of them
        self.stream: Stream | None = None
        self.confirm: Callable[[Stream], None] | None = None  # that an event is in good hands
        self.also: list[Callable[[], None]] = []  # told that something happened
        self._watching: dict[About, list[Any]] = {}

    def begun(self, stream: Stream) -> None:
        self.stream = stream

    def watch(self, watcher: Any, symbols: Sequence[Any] = ()) -> None:
        """One more; `symbols` may be of a strategy each, "" is any. Without symbols it is told of all."""
        self.watchers.append(watcher)
        for key in _about(symbols):
            self._watching.setdefault(key, []).append(watcher)

    def unwatch(self, watcher: Any) -> None:
        super().unwatch(watcher)
        for watchers in self._watching.values():
            if watcher in watchers:
                watchers.remove(watcher)

    def update(self, message: Message) -> None:
        data = message["data"]
        if message["kind"] == "snapshot":
            self.snapshot(data["items"])
        elif data["event"] in self.events:
            self.row(data, is_new=self.stream is None or message["sequence"] > self.stream.replay_until)
        if self.stream is not None and self.confirm is not None:
            self.confirm(self.stream)

    def snapshot(self, rows: Sequence[Raw]) -> None:
        """All that is open, as of now."""
        for row in rows:
            self.row(row)

    def row(self, row: Raw, *, is_new: bool = True) -> None:
        """A row as it is by now. What is not new is kept and not told; what is of another strategy is neither."""
        wanted = self.strategies
        if not wanted or None in wanted or row["strategy_id"] in wanted:
            self._row(row, is_new=is_new)

    def _row(self, row: Raw, *, is_new: bool) -> None:
        raise NotImplementedError  # orders, deals and positions have versions, numbers and states to go by

    def _tell(self, item: dict[str, Any], *put: Any) -> None:
        if self._gap is not None:
            item["info"]["gap"] = self._gap._asdict()
            self._gap = None
        for key in _keys(item["info"]):
            for watcher in self._watching.get(key, ()):
                watcher.put(*put, item)
        for happened in self.also:
            happened()


class OrderFeed(PrivateFeed):
    """Orders, each as it is by now. `unify` makes a structure of an order and its deals."""

    events = frozenset({"order_created", "order_updated"})

    def __init__(self, cache: Any, unify: Callable[[Raw, Sequence[Raw]], dict[str, Any]], *hooks: Any) -> None:
        super().__init__(cache, *hooks)
        self.over_after: list[int] = []  # by REST those that are over are read from here: as of the last polls
        self._unify = unify
        self._deals: OrderedDict[int, list[Raw]] = OrderedDict()  # of each order
        self._versions: OrderedDict[int, int] = OrderedDict()

    def live(self, is_live: bool) -> None:
        super().live(is_live)
        if not is_live:
            self.over_after = []  # the stream has told what was before it went

    def _row(self, row: Raw, *, is_new: bool) -> None:
        if self._versions.get(row["id"], 0) >= row["version"]:
            return
        self._versions[row["id"]] = row["version"]
        self._versions.move_to_end(row["id"])
        if len(self._versions) > VERSIONS_MAX:
            self._versions.popitem(last=False)
        order = self._put(row)
        if is_new:
            self._tell(order, order["id"])

    def deal(self, deal: Raw) -> None:
        """One of its deals: what ccxt says of fees and of the last trade is made of them."""
        deals = self._deals.setdefault(deal["order_id"], [])
        self._deals.move_to_end(deal["order_id"])
        if len(self._deals) > ORDERS_WITH_DEALS_MAX:
            self._deals.popitem(last=False)
        if all(known["id"] != deal["id"] for known in deals):
            deals.append(deal)
            held = self.known(deal["symbol"], deal["order_id"])
            if held is not None:
                held.update(self._unify(held["info"], deals))

    def known(self, symbol: str, number: int) -> Any:
        """The order, or None."""
        return self.cache.hashmap.get(symbol, {}).get(str(number))

    def _put(self, row: Raw) -> dict[str, Any]:
        order = self._unify(row, self._deals.get(row["id"], ()))
        self.cache.append(order)
        held: dict[str, Any] = self.known(row["symbol"], row["id"])  # or an older one, brought up to date
        return held

    def _lost(self, gap: Gap) -> None:
        """Of another database: its numbers mean other orders."""
        if gap.new_epoch is None:
            return
        _empty(self.cache, ArrayCacheBySymbolById)
        self._deals.clear()
        self._versions.clear()
        self.over_after = []


class DealFeed(PrivateFeed):
    """My trades, each once. `unify` makes a structure of a deal and its order, where that is known.

    Told at the end of a burst: two deals of one execution, which turned a position, come together and are one trade.
    """

    events = frozenset({"deal_created"})

    def __init__(
        self, cache: Any, wakes: Wakes, unify: Callable[[Raw, Raw | None], dict[str, Any]], *hooks: Any
    ) -> None:
        super().__init__(cache, *hooks)
        self.newest_id = 0  # they are numbered in the order in which they are told; all up to here are known
        self.is_begun = False  # whatever has a higher number is new
        self._ahead: set[int] | None = None  # told by the stream while REST has yet to tell what was before it
        self.orders: OrderFeed | None = None  # who is to know of the deals of its orders
        self._unify = unify
        self._wakes = wakes
        self._pending: list[Raw] = []

    def begin(self, newest_id: int) -> None:
        """What there is by now is not of interest."""
        self.newest_id = max(self.newest_id, newest_id)
        self.is_begun = True
        self.look_back()

    def live(self, is_live: bool) -> None:
        super().live(is_live)
        if is_live:
            self.is_begun = True

    def look_back(self) -> None:
        """REST is asked, for there is no stream yet: one that begins meanwhile does not begin where REST ended."""
        if self._ahead is None:
            self._ahead = set()

    def read_to(self, number: int) -> None:
        """REST has told all up to this one, whoever's they were."""
        self.newest_id = max(self.newest_id, number)
        if self._ahead is not None:
            self._ahead.discard(number)

    @property
    def is_looking_back(self) -> bool:
        return self._ahead is not None

    def looked_back(self) -> None:
        """REST has told all that was before the stream."""
        self.newest_id = max((self.newest_id, *(self._ahead or ())))
        self._ahead = None

    def row(self, row: Raw, *, is_new: bool = True) -> None:
        """As the others; that it is known counts whoever's it is, or it would be read by REST again and again."""
        ahead = self._ahead
        if row["id"] <= self.newest_id or (ahead is not None and row["id"] in ahead):
            return
        if ahead is None:
            self.newest_id = row["id"]
        else:
            ahead.add(row["id"])
        super().row(row, is_new=is_new)

    def _row(self, row: Raw, *, is_new: bool) -> None:
        if self.orders is not None:
            self.orders.deal(row)
        if is_new:
            self._pending.append(row)
            self._wakes.first(self._tell_pending)

    def _tell_pending(self) -> None:
        """The burst is over."""
        pending, self._pending = self._pending, []
        for row in joined(pending):
            order = None if self.orders is None else self.orders.known(row["symbol"], row["order_id"])
            trade = self._unify(row, None if order is None else order["info"])
            self.cache.append(trade)
            self._tell(trade)

    def _lost(self, gap: Gap) -> None:
        if gap.new_epoch is None:
            return
        self.newest_id = 0
        self._ahead = None
        _empty(self.cache, ArrayCacheBySymbolById)


class PositionFeed(PrivateFeed):
    """Positions, each as it is by now; one that is closed has no contracts. `unify` makes a structure of one.

    Whoever begins to watch is told what is open, as soon as that is known.
    """

    events = frozenset({"position_updated", "position_closed"})

    def __init__(self, cache: Any, unify: Callable[[Raw], dict[str, Any]], *hooks: Any) -> None:
        super().__init__(cache, *hooks)
        self._unify = unify
        self._open: dict[int, Raw] = {}
        self._beginning: list[tuple[Any, set[About]]] = []  # watchers to be told what is open, and of what

    def watch(self, watcher: Any, symbols: Sequence[Any] = ()) -> None:
        super().watch(watcher, symbols)
        self._beginning.append((watcher, set(_about(symbols))))
        if self.stream is not None and self.stream.is_live:
            self._begin_if_whole()

    def unwatch(self, watcher: Any) -> None:
        super().unwatch(watcher)
        self._beginning = [(each, about) for each, about in self._beginning if each is not watcher]

    def live(self, is_live: bool) -> None:
        super().live(is_live)
        if is_live:
            self._begin_if_whole()

    def snapshot(self, rows: Sequence[Raw]) -> None:
        """What is not among these is closed; where, and at what price, is in the events."""
        super().snapshot(rows)
        open_ids = {row["id"] for row in rows}
        self._open = {number: row for number, row in self._open.items() if number in open_ids}
        self._begin()

    def _begin_if_whole(self) -> None:
        """Else a snapshot is to come."""
        if self.stream is not None and self.stream.is_whole:
            self._begin()

    def _begin(self) -> None:
        beginning, self._beginning = self._beginning, []
        for watcher, about in beginning:
            for row in self._open.values():
                if not about.isdisjoint(_keys(row)):
                    position = self._unify(row)
                    watcher.put(position["id"], position)

    def _row(self, row: Raw, *, is_new: bool) -> None:
        known = self._open.get(row["id"])
        if known is not None and row["version"] <= known["version"]:
            return
        position = self._unify(row)
        position["side"] = position["side"] or "long"  # ccxt's cache needs one, and an old event may have none
        if row["state"] == "open":
            self._open[row["id"]] = row
        else:
            self._open.pop(row["id"], None)
        self.cache.append(position)
        if is_new:
            self._tell(position, position["id"])

    def _lost(self, gap: Gap) -> None:
        if gap.new_epoch is None:
            return
        self._open.clear()
        _empty(self.cache, ArrayCacheBySymbolBySide)


def _about(symbols: Sequence[Any]) -> list[About]:
    """What a watcher is to be told of: symbols, each of a strategy or of any."""
    return [symbol if isinstance(symbol, tuple) else (None, symbol) for symbol in symbols or ("",)]


def _keys(row: Raw) -> list[About]:
    """All that a row is about."""
    return list(product({None, row.get("strategy_id")}, ("", row["symbol"])))


def _empty(cache: Any, kind: Any) -> None:
    """ccxt's `clear` of 4.5.64 leaves its indices."""
    cache.__dict__.update(kind(cache.max_size).__dict__)
