"""The outbox: committed events, told in order to whoever may hear them, however far back they ask.

The journal hands in what has just become durable and its readers are woken in process: one process writes a database,
so nobody else has anything to tell it. The newest events of a channel stay in memory, older ones are read from the
table, and the two join without a seam. Must not know a socket, nor how an event is framed.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterator, Sequence, Set
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

import msgspec
import structlog

from oms import render
from oms.auth import strategies_of
from oms.errors import OmsError
from oms.model import Event, Principal
from oms.store import history, progress, streams
from oms.store.pool import UNAVAILABLE, Pool

log = structlog.get_logger(__name__)

CHANNELS: Final = ("orders", "deals", "positions", "alerts")
RING_EVENTS: Final = 1_024  # of each channel of each account: about 1 MB
RETRY_MS: Final = 1_000

_ENCODE: Final = msgspec.json.Encoder().encode


class _Owner(msgspec.Struct):
    """Whose an event is, in its data."""

    strategy_id: int | None = None


_owner_of: Final = msgspec.json.Decoder(_Owner).decode


class Page(NamedTuple):
    """What follows a number: the events one may see, and up to which number that is all."""

    events: list[Event]
    upto: int


class Snapshot(NamedTuple):
    """What is open as of a number, a finished JSON array; None where nothing is ever open (deals, alerts)."""

    sequence: int
    items: bytes | None


class Feed:
    """One channel of one account: its newest events, and who is told that there are more.

    `newest` counts what is committed, and the ring ends with it: an event read from the table before the journal told
    of it is taken in, and not taken twice.
    """

    def __init__(self, pool: Pool, account_id: int, channel: str, ring_events: int) -> None:
        self.account_id = account_id
        self.channel = channel
        self.epoch = ""
        self.newest = 0
        self.listeners: set[Callable[[], None]] = set()
        self._pool = pool
        self._ring: deque[Event] = deque(maxlen=ring_events)
        self._forgotten = 1  # how often what memory knows of `newest` became doubtful,
        self._located = 0  # and of which time it was read again

    async def locate(self) -> None:
        """Read where the channel is, unless memory knows."""
        while self._located != self._forgotten:
            asked = self._forgotten
            found = await streams.position(self._pool, self.account_id, self.channel)
            if found is None:
                raise OmsError("account_not_found", "there is no such account", details={"account_id": self.account_id})
            self.epoch = found[0]
            self.reach(found[1])
            self._located = asked

    def reach(self, newest: int) -> None:
        """The table has been seen to hold this number; memory may have to read up to it."""
        if newest > self.newest:
            self._ring.clear()
            self.newest = newest

    def take(self, event: Event) -> None:
        """Keep what is committed; a number that does not follow means that memory has missed some."""
        if event.channel_sequence <= self.newest:
            return
        if event.channel_sequence != self.newest + 1:
            self._ring.clear()
        self._ring.append(event)
        self.newest = event.channel_sequence

    def forget(self) -> None:
        """What is committed has to be read anew."""
        self._forgotten += 1

    def wake(self) -> None:
        for listener in list(self.listeners):
            try:
                listener()
            except Exception:  # what is durable stays so, whoever cannot hear of it
                log.exception("event not told", account_id=self.account_id, channel=self.channel)

    async def read(self, after: int, limit: int) -> Sequence[Event]:
        """What follows a number, in order, up to so many; nothing when that is all."""
        await self.locate()
        if after >= self.newest:
            return ()
        if self._ring and self._ring[0].channel_sequence <= after + 1:
            first = after + 1 - self._ring[0].channel_sequence
            return tuple(itertools.islice(self._ring, first, first + limit))
        found = await history.events_after(self._pool, self.account_id, after, channel=self.channel, limit=limit)
        for event in found:
            self.take(event)
        return found


class View:
    """A feed as one principal may see it: all of it, or the events of some strategies."""

    def __init__(self, pool: Pool, feed: Feed, strategies: frozenset[int]) -> None:
        """`strategies`: none means all."""
        self._pool = pool
        self._feed = feed
        self._strategies = strategies

    @property
    def epoch(self) -> str:
        return self._feed.epoch

    @property
    def newest(self) -> int:
        """The newest number that is committed."""
        return self._feed.newest

    @property
    def is_partial(self) -> bool:
        """Whether numbers are left out, because their events are not for everybody."""
        return bool(self._strategies)

    def is_for(self, principal: Principal) -> bool:
        """Whether the principal may still see this, and no more and no less than this."""
        try:
            return strategies_of(principal, self._feed.account_id) == self._strategies
        except OmsError:
            return False

    def listen(self, on_more: Callable[[], None]) -> None:
        """Call this whenever there may be more, from the moment it is committed; synchronously."""
        self._feed.listeners.add(on_more)

    def unlisten(self, on_more: Callable[[], None]) -> None:
        self._feed.listeners.discard(on_more)

    async def read(self, after: int, limit: int) -> Page:
        """What follows a number, looking at so many events at most. Raises OmsError."""
        with _reachable():
            found = await self._feed.read(after, limit)
        upto = found[-1].channel_sequence if found else after
        return Page([event for event in found if self._shows(event)], upto)

    async def snapshot(self) -> Snapshot:
        """What is open, and as of which number. Raises OmsError."""
        account_id, channel = self._feed.account_id, self._feed.channel
        found: list[Any]
        with _reachable():
            if channel == "orders":
                number, orders = await streams.open_orders(self._pool, account_id, self._strategies)
                found = [render.order_data(order) for order in orders]
            elif channel == "positions":
                number, positions = await streams.open_positions(self._pool, account_id, self._strategies)
                found = [render.position_data(position) for position in positions]
            else:
                return Snapshot(self.newest, None)
        self._feed.reach(number)
        return Snapshot(number, _ENCODE(found))

    def _shows(self, event: Event) -> bool:
        return not self._strategies or _owner_of(event.data).strategy_id in self._strategies


class Outbox:
    """The private streams of all accounts."""

    def __init__(self, pool: Pool, *, ring_events: int = RING_EVENTS) -> None:
        self._pool = pool
        self._ring_events = ring_events
        self._feeds: dict[tuple[int, str], Feed] = {}
        self._heard: dict[int, set[Callable[[], None]]] = {}  # who is told of whatever happens to an account

    def listen(self, account_id: int, on_more: Callable[[], None]) -> None:
        """Call this whenever something of the account has been committed, and when that is not known."""
        self._heard.setdefault(account_id, set()).add(on_more)

    def unlisten(self, account_id: int, on_more: Callable[[], None]) -> None:
        heard = self._heard[account_id]
        heard.discard(on_more)
        if not heard:
            del self._heard[account_id]

    def committed(self, events: Sequence[Event]) -> None:
        """These are durable, in this order and behind all that were told before: the journal's `on_committed`."""
        touched: dict[Feed, None] = {}
        for event in events:
            feed = self._feeds.get((event.account_id, event.channel))
            if feed is not None:  # else nobody has asked yet, and who does is told from the table
                feed.take(event)
                touched[feed] = None
        for feed in touched:
            feed.wake()
        self._tell({event.account_id for event in events} & self._heard.keys())

    def reset(self) -> None:
        """A journal was lost, and another one is open: events may be durable that nobody was told of."""
        for feed in self._feeds.values():
            feed.forget()
            feed.wake()
        self._tell(set(self._heard))

    def _tell(self, accounts: Set[int]) -> None:
        for account_id in accounts:
            for on_more in list(self._heard[account_id]):
                try:
                    on_more()
                except Exception:  # as in `Feed.wake`
                    log.exception("change not told", account_id=account_id)

    async def open(self, principal: Principal, account_id: int, channel: str) -> View:
        """The channel as the principal may see it, where it is by now. Raises OmsError."""
        assert channel in CHANNELS
        strategies = strategies_of(principal, account_id)
        key = account_id, channel
        feed = self._feeds.get(key)
        if feed is None:
            # Before the number is read, so that what is committed meanwhile is not missed.
            feed = self._feeds[key] = Feed(self._pool, account_id, channel, self._ring_events)
        with _reachable():
            await feed.locate()
        return View(self._pool, feed, strategies)

    async def acked(self, principal: Principal, account_id: int, channel: str) -> int | None:
        """How far the principal's key has confirmed a channel; None: never. Raises OmsError."""
        with _reachable():
            return (await progress.acks(self._pool, principal.api_key_id, account_id)).get(channel)

    async def ack(self, principal: Principal, account_id: int, channel: str, sequence: int) -> None:
        """Confirm up to a number, durably. Raises OmsError."""
        view = await self.open(principal, account_id, channel)
        if sequence > view.newest:
            details = {"account_id": account_id, "channel": channel, "newest": view.newest}
            raise OmsError("validation_error", "sequence: no event has that number yet", details=details)
        with _reachable():
            await progress.ack(self._pool, principal.api_key_id, account_id, channel, sequence)


@contextmanager
def _reachable() -> Iterator[None]:
    try:
        yield
    except UNAVAILABLE as error:
        text = "the order database is not available"
        raise OmsError("engine_unavailable", text, retry_after_ms=RETRY_MS) from error
