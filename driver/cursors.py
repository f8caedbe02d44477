"""What has come for a program and was not read by it yet: one cursor for each way it watches, one wake-up a burst.

`watch_*` calls wait here. What arrives between two of them is kept, and the next one returns with all of it at once.
Holds futures of the running loop and no clock. Must not know channels, messages or ccxt.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable
from itertools import islice
from typing import Any, Final

UNREAD_MAX: Final = 100_000  # of one cursor; a program that stopped to read must not take all memory

# Told that so many items (of a name, or of none in particular) were given up before this one; what it returns is put in
# the place of that one.
GivenUp = Callable[[Any, int, Any], Any]


def _as_it_is(_name: Any, _count: int, item: Any) -> Any:
    return item


class Wakes:
    """The cursors that have something new; told to who waits once the burst is over."""

    def __init__(self, soon: Callable[[Callable[[], None]], object]) -> None:
        """`soon` runs a function when the present turn of the loop is over."""
        self._soon = soon
        self._dirty: dict[Cursor, None] = {}
        self.before: dict[Callable[[], None], None] = {}  # run first, once: what is looked at only once a burst

    def mark(self, cursor: Cursor) -> None:
        """Wake who waits for this one."""
        if not self._dirty and not self.before:
            self._soon(self.flush)
        self._dirty[cursor] = None

    def first(self, action: Callable[[], None]) -> None:
        """Do this once before anybody wakes."""
        if not self._dirty and not self.before:
            self._soon(self.flush)
        self.before[action] = None

    def flush(self) -> None:
        before, self.before = self.before, {}
        for action in before:
            action()
        dirty, self._dirty = self._dirty, {}
        for cursor in dirty:
            cursor.wake()


class _Wake:
    """One wake-up: everybody who waited for it is given the same."""

    __slots__ = ("batch",)

    def __init__(self) -> None:
        self.batch: Any = None


class Cursor:
    """What one way of watching has not read. `put` and `take` differ by kind."""

    __slots__ = ("__weakref__", "_given_up", "_waiting", "_wakes", "unread", "unread_max")
    kept_in: type[list[Any]] | type[dict[Any, Any]]
    unread: Any

    def __init__(self, wakes: Wakes, unread_max: int = UNREAD_MAX, given_up: GivenUp = _as_it_is) -> None:
        self.unread_max = unread_max
        self._given_up = given_up
        self._wakes = wakes
        self._waiting: list[asyncio.Future[_Wake]] = []
        self.unread = self.kept_in()

    def take(self) -> Any:
        """All that is unread; it counts as read."""
        batch, self.unread = self.unread, self.kept_in()
        return batch

    async def next(self) -> Any:
        """What is unread, as soon as there is something. Raises what `fail` was given.

        Who is cancelled while it waits has read nothing: it is there for the next call.
        """
        while not self.unread:
            future: asyncio.Future[_Wake] = asyncio.get_running_loop().create_future()
            self._waiting.append(future)
            try:
                wake = await future
            except asyncio.CancelledError:
                if future in self._waiting:
                    self._waiting.remove(future)
                raise
            if wake.batch is not None:
                return wake.batch
            if self.unread:
                wake.batch = self.take()
                return wake.batch
        return self.take()

    def _too_many(self) -> int:
        """How many are given up at once: to take them one by one costs more each."""
        return max(1, self.unread_max // 10)

    @property
    def is_awaited(self) -> bool:
        return bool(self._waiting)

    def wake(self) -> None:
        """Give what is unread to who waits."""
        if self._waiting and self.unread:
            wake = _Wake()
            waiting, self._waiting = self._waiting, []
            for future in waiting:
                if not future.done():
                    future.set_result(wake)

    def fail(self, error: BaseException) -> None:
        """Raise this in who waits now; what is unread stays."""
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():
                future.set_exception(error)

    def cancel(self) -> None:
        """Cancel who waits, as ccxt does when a program closes the exchange."""
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            future.cancel()


class Each(Cursor):
    """Every item, in order. When too many are unread the oldest are given up."""

    __slots__ = ()
    kept_in = list

    def put(self, item: Any) -> None:
        unread = self.unread
        if not unread:
            self._wakes.mark(self)
        unread.append(item)
        if len(unread) > self.unread_max:
            drop = self._too_many()
            del unread[:drop]
            unread[0] = self._given_up(None, drop, unread[0])


class Newest(Cursor):
    """The newest item of each name, in the order in which they came."""

    __slots__ = ()
    kept_in = dict

    def put(self, name: Hashable, item: Any) -> None:
        unread = self.unread
        if not unread:
            self._wakes.mark(self)
        elif name in unread:
            del unread[name]  # so that it moves to the end
        unread[name] = item
        if len(unread) > self.unread_max:
            drop = self._too_many()
            for old in list(islice(unread, drop)):
                del unread[old]
            first = next(iter(unread))
            unread[first] = self._given_up(first, drop, unread[first])

    def drop(self, name: Hashable) -> None:
        """It is not true any more."""
        self.unread.pop(name, None)


class ByName(Cursor):
    """One name at a time is read: (name, what is unread of it)."""

    __slots__ = ()
    kept_in = dict

    def take(self) -> Any:
        name = next(iter(self.unread))
        return name, self.unread.pop(name)


class One(ByName, Newest):
    """As `Newest`, but one name at a time is read: (name, item)."""

    __slots__ = ()


class _ManyOf(ByName):
    """Several items of each name. When too many are unread in all, the name that has most gives up its oldest."""

    __slots__ = ("_count",)

    def __init__(self, wakes: Wakes, unread_max: int = UNREAD_MAX, given_up: GivenUp = _as_it_is) -> None:
        super().__init__(wakes, unread_max, given_up)
        self._count = 0  # over all names

    def take(self) -> Any:
        name, items = super().take()
        self._count -= len(items)
        return name, items

    def _counted(self) -> None:
        """One more."""
        self._count += 1
        if self._count > self.unread_max:
            name, items = max(self.unread.items(), key=lambda each: len(each[1]))
            drop = min(self._too_many(), len(items) - 1)  # with so many names the last of each is kept
            if drop:
                self._count -= drop
                self._drop(name, items, drop)

    def _drop(self, name: Hashable, items: Any, count: int) -> None:
        """The oldest, and that is said in what follows them."""
        raise NotImplementedError  # a list and a dict are cut in their own ways


class EachOf(_ManyOf):
    """Every item in order, of one name at a time: (name, items)."""

    __slots__ = ()

    def put(self, name: Hashable, item: Any) -> None:
        unread = self.unread
        if not unread:
            self._wakes.mark(self)
        items = unread.get(name)
        if items is None:
            unread[name] = [item]
        else:
            items.append(item)
        self._counted()

    def _drop(self, name: Hashable, items: Any, count: int) -> None:
        del items[:count]
        items[0] = self._given_up(name, count, items[0])


class NewestOf(_ManyOf):
    """The newest item of each key that an item begins with, of one name at a time: (name, items)."""

    __slots__ = ()

    def put(self, name: Hashable, item: Any) -> None:
        unread = self.unread
        if not unread:
            self._wakes.mark(self)
        items = unread.get(name)
        if items is None:
            items = unread[name] = {}
        is_new = item[0] not in items
        items[item[0]] = item
        if is_new:
            self._counted()

    def _drop(self, name: Hashable, items: Any, count: int) -> None:
        for old in list(islice(items, count)):
            del items[old]
        first = next(iter(items))
        items[first] = self._given_up(name, count, items[first])

    def take(self) -> Any:
        name, items = super().take()
        return name, list(items.values())
