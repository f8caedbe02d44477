"""An account at MetaTrader 5: watched, and not traded on.

Holds the venue's contract as far as there is something to say, and who logs in where. Every call to a terminal is made
in a thread, and given up when it hangs. Must not know how a terminal is reached, nor what it says.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final, NoReturn, TypeVar

import structlog

from oms.errors import OmsError
from oms.model import Instrument, Order
from oms.venues import mt5_reading
from oms.venues.base import (
    Ending,
    Listener,
    OnTurn,
    Refused,
    Statement,
    VenueOrder,
    VenuePosition,
    VenueTrade,
    at_any_time,
)
from oms.venues.mt5_link import Link, Mt5Options, open_link, read_options
from oms.venues.worker import Worker

T = TypeVar("T")
log = structlog.get_logger(__name__)

CREDENTIALS: Final = frozenset({"login", "password"})
NOT_TRADED: Final = "an account at MetaTrader 5 is watched, and not traded on"


class Mt5Venue:
    """Of one account. There are no orders, so there is nothing to hear, and reconciling finds nothing."""

    can_replace = False

    def __init__(
        self,
        credentials: Mapping[str, str],
        options: Mapping[str, Any],
        open_link: Callable[[Mt5Options], Link] = open_link,
    ) -> None:
        """Raises OmsError."""
        self._options = read_options(options)
        if unknown := sorted(set(credentials) - CREDENTIALS):
            raise OmsError("validation_error", f"credentials: MetaTrader 5 asks for no {unknown[0]}")
        if not credentials.get("login", "0").isdecimal():
            raise OmsError("validation_error", "credentials: the login of MetaTrader 5 is a number")
        self._credentials = credentials
        self._open_link = open_link

    def __repr__(self) -> str:
        return "Mt5Venue()"

    async def start(self, listener: Listener) -> None:
        """The terminal is not asked before somebody watches."""
        listener.on_stream(True)

    async def close(self) -> None:
        """Whoever watches has what is open."""

    def inspect(self) -> Mt5Inspection:
        return Mt5Inspection(self._options, self._credentials, self._open_link)

    def instrument(self, symbol: str) -> Instrument:
        raise OmsError("unsupported_engine", NOT_TRADED)

    def check(self, order: Order) -> None:
        raise OmsError("unsupported_engine", NOT_TRADED)

    async def place(self, order: Order, venue_client_id: str, on_turn: OnTurn = at_any_time) -> VenueOrder:
        _refuse()

    async def cancel(self, order: Order) -> VenueOrder | None:
        _refuse()

    async def replace(
        self, order: Order, price: Decimal | None, qty: Decimal, venue_client_id: str, on_turn: OnTurn = at_any_time
    ) -> VenueOrder:
        _refuse()

    async def find(self, order: Order) -> VenueOrder | None:
        return None

    async def lookup(
        self, symbol: str, *, exchange_order_id: str | None = None, client_order_id: str | None = None
    ) -> VenueOrder | None:
        return None

    async def open_orders(self, symbol: str | None) -> list[VenueOrder]:
        return []

    async def trades(self, symbol: str, since_ns: int) -> list[VenueTrade]:
        return []

    async def balances(self) -> Mapping[str, Decimal]:
        return {}

    async def positions(self) -> list[VenuePosition]:
        """None that the OMS could have: its own are told by `inspect`."""
        return []

    async def call(self, func: str, arguments: Mapping[str, Any], *, public: bool) -> bytes:
        raise OmsError("unsupported_engine", "MetaTrader 5 is no exchange of ccxt")


def _refuse() -> NoReturn:
    raise Refused("unsupported_engine", NOT_TRADED)


class Way:
    """A link in a thread of its own: opened there, used there, and closed there."""

    def __init__(self, options: Mt5Options, open_link: Callable[[Mt5Options], Link]) -> None:
        self._options = options
        self._open_link = open_link
        self._worker = Worker("mt5")
        self._link: Link | None = None  # set by the thread, so that one that comes too late is closed too

    async def open(self) -> None:
        await self._worker.run(self._open, self._options.timeout_s)

    async def call(self, function: str, *args: Any) -> Any:
        link = self._link
        assert link is not None, "it is open"
        return await self._worker.run(lambda: link.call(function, *args), self._options.timeout_s)

    def drop(self) -> None:
        """Do not wait for what is running: it is broken off where that is possible."""
        self._worker.close(self._close)
        if self._link is not None:
            self._link.abort()

    def _open(self) -> None:
        self._link = self._open_link(self._options)

    def _close(self) -> None:
        if self._link is None:
            return
        try:
            self._link.close()
        except Exception as error:  # it may be broken, which is why it is dropped
            log.debug("link to a terminal could not be closed in order", error=type(error).__name__)


class Mt5Inspection:
    """Somebody watches: the way to the terminal is made with the first reading, and anew after a failure."""

    def __init__(
        self, options: Mt5Options, credentials: Mapping[str, str], open_link: Callable[[Mt5Options], Link]
    ) -> None:
        self._options = options
        self._credentials = credentials
        self._open_link = open_link
        self._way: Way | None = None
        self._digits = 2

    async def read(self) -> Statement:
        return await self._guarded(self._read)

    async def endings(self, tickets: Sequence[int]) -> Mapping[int, Ending]:
        return await self._guarded(lambda: self._endings(tuple(tickets)))

    async def close(self) -> None:
        self._drop()

    async def _read(self) -> Statement:
        way = self._way
        if way is None:
            way = self._way = Way(self._options, self._open_link)
            await way.open()
            await self._enter(way)
        account, positions, failure = await way.call("read")
        if failure is None and mt5_reading.login_of(account) != self._login:
            await self._enter(way)  # somebody has made the terminal another account's
            account, positions, failure = await way.call("read")
        if failure is None and mt5_reading.login_of(account) != self._login:
            failure = (0, "the terminal is another account's")
        if failure is not None:
            raise _said(failure)
        self._digits = dict(account).get("currency_digits", 2)
        return mt5_reading.statement(account, positions)

    async def _endings(self, tickets: tuple[int, ...]) -> Mapping[int, Ending]:
        if self._way is None:
            return {}
        told = await self._way.call("deals", tickets)
        ended = {ticket: mt5_reading.ending(deals, self._digits) for ticket, deals in told}
        return {ticket: each for ticket, each in ended.items() if each is not None}

    @property
    def _login(self) -> int:
        if "login" not in self._credentials:
            raise OmsError("exchange_error", "the account has no credentials: tickwire account credentials")
        return int(self._credentials["login"])

    async def _enter(self, way: Way) -> None:
        password, options = self._credentials.get("password", ""), self._options
        timeout_ms = int(options.timeout_s * 800)  # the terminal is to say so before it is given up
        failure = await way.call("enter", options.path, self._login, password, options.server, timeout_ms)
        if failure is not None:
            raise _said(failure)

    async def _guarded(self, work: Callable[[], Awaitable[T]]) -> T:
        """What is told of a failure has nothing of the other side's text in it but the terminal's own word."""
        try:
            return await work()
        except OmsError:
            self._drop()
            raise
        except asyncio.CancelledError:
            self._drop()
            raise
        except TimeoutError:
            text = f"the terminal gave no answer within {self._options.timeout_s:g} s"
        except (OSError, EOFError):
            text = f"the server of the terminal at {self._options.host}:{self._options.port} cannot be reached"
        except Exception as error:  # RPyC raises what the other side did, by classes made at that moment
            text = f"the terminal cannot be asked: {type(error).__name__}"
        self._drop()
        raise OmsError("exchange_unavailable", text) from None

    def _drop(self) -> None:
        way, self._way = self._way, None
        if way is not None:
            way.drop()


def _said(failure: tuple[int, str]) -> OmsError:
    code, text = failure
    return OmsError("exchange_unavailable", f"the terminal says: {text} ({code})")
