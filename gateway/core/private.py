"""What the gateway asks of the room that keeps accounts: their events, and to carry out commands.

Holds the contract, and how a refusal of that room becomes one of ours. Must not know who fulfils it, nor a socket.
A principal is handed back to the room that made it, and only it looks inside: hence Any.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal
from typing import Any, NamedTuple, Protocol, runtime_checkable

from gateway.core.holdings import Holdings
from gateway.errors import CODES, TickwireError


class Event(Protocol):
    """A committed line of an account's channel; `data` is the resource, a finished JSON object."""

    @property
    def channel_sequence(self) -> int: ...
    @property
    def event(self) -> str: ...
    @property
    def data(self) -> bytes: ...
    @property
    def created_ns(self) -> int: ...


class Page(Protocol):
    """What follows a number: the events the reader may see, and up to which number that is all."""

    @property
    def events(self) -> Sequence[Event]: ...
    @property
    def upto(self) -> int: ...


class Snapshot(Protocol):
    """What is open as of a number, a finished JSON array; None for a channel that has no state."""

    @property
    def sequence(self) -> int: ...
    @property
    def items(self) -> bytes | None: ...


class View(Protocol):
    """One channel of one account, as one principal may see it."""

    @property
    def epoch(self) -> str: ...
    @property
    def newest(self) -> int: ...
    @property
    def is_partial(self) -> bool:
        """Whether numbers are left out, because their events are not for this principal."""

    def is_for(self, principal: Any) -> bool:
        """Whether this is still what the principal may see."""

    def listen(self, on_more: Callable[[], None]) -> None:
        """Call this whenever there may be more."""

    def unlisten(self, on_more: Callable[[], None]) -> None: ...
    def read(self, after: int, limit: int) -> Awaitable[Page]: ...
    def snapshot(self) -> Awaitable[Snapshot]: ...


class PrivateStreams(Protocol):
    """The durable streams of all accounts. What is refused is raised as a `Refusal`."""

    def open(self, principal: Any, account_id: int, channel: str) -> Awaitable[View]: ...
    def acked(self, principal: Any, account_id: int, channel: str) -> Awaitable[int | None]:
        """How far the principal's key has confirmed a channel; None: never."""

    def ack(self, principal: Any, account_id: int, channel: str, sequence: int) -> Awaitable[None]: ...


class Result(Protocol):
    """What became of one command."""

    def plain(self, index: int) -> Mapping[str, Any]:
        """As it is told, JSON-ready."""


class Publication(Protocol):
    """A signal or a piece of news that is kept; `data` is a finished JSON object."""

    @property
    def id(self) -> int: ...
    @property
    def channel(self) -> str: ...
    @property
    def symbols(self) -> Sequence[str]: ...
    @property
    def data(self) -> bytes: ...
    @property
    def created_ns(self) -> int: ...


class Accepted(Protocol):
    """What became of a publication; `replayed`: it was kept before, and nobody was told again."""

    @property
    def publication(self) -> Publication: ...
    @property
    def replayed(self) -> bool: ...


class Signature(NamedTuple):
    """What a client said of a message of commands: `payload` is what was signed, as it came."""

    sig: str
    ts: int
    nonce: str
    payload: bytes
    connection_id: str  # of the connection that it is for; empty where a connection has no name


class Accounts(Protocol):
    """The room as a whole."""

    @property
    def outbox(self) -> PrivateStreams: ...
    def exchange_of(self, principal: Any, account_id: int) -> str:
        """The configured exchange of an account, for who has to do with it. Raises a `Refusal`."""

    def publish(self, principal: Any, channel: str, body: bytes) -> Awaitable[Accepted]:
        """Keep a signal or news, JSON text, and tell of it. What is refused is raised as a `Refusal`."""

    def readable(self, principal: Any) -> Sequence[int]:
        """The accounts that a principal may read. Raises a `Refusal`."""

    def execute(
        self, principal: Any, body: object, *, signature: Signature | None = None
    ) -> Awaitable[Sequence[Result]]:
        """Carry out a body of commands, one result each. A body that is none, or whose signature is not right, is
        raised as a `Refusal`. Who asks says itself that somebody waits for it."""

    def signer(self, principal: Any, connection_id: str) -> Callable[[bytes], str]:
        """What signs events for the principal on a connection. Raises a `Refusal`."""


class Treasury(Protocol):
    """What accounts are valued from. What is refused is raised as a `Refusal`."""

    def require_whole(self, principal: Any, account_id: int) -> None:
        """Raises a `Refusal` for who may not see all of the account."""

    def listen(self, account_id: int, on_more: Callable[[], None]) -> None:
        """Call this whenever something of the account has been committed."""

    def unlisten(self, account_id: int, on_more: Callable[[], None]) -> None: ...
    def holdings(self, account_id: int, currency: str, since_ns: int) -> Awaitable[Holdings]:
        """The account now, what deals changed since then, and how its currencies are converted to `currency`."""

    def opening_price(self, account_id: int, symbol: str, at_ns: int) -> Awaitable[Decimal | None]:
        """The first price since a moment; None: there was none."""


class Register(Protocol):
    """Where it is kept what connections did. Nothing of it waits, but for what is read."""

    def told(
        self,
        connection_id: str,
        *,
        dialect: str,
        api_key_id: int | None,
        peer: str,
        opened_ns: int,
        closed_ns: int | None,
        close_code: int | None,
        body: bytes,
        streams: Iterable[tuple[str, str, str, int]],
    ) -> None:
        """A connection as it is now. `streams`: channel, name, timeframe, throttle_ms; `body` brings them back."""

    def measured(self, values: Mapping[str, float]) -> None:
        """How the process does now, by name."""

    def restorable(self, connection_id: str, within_s: float) -> Awaitable[tuple[int | None, bytes] | None]:
        """The API key and the `body` of a connection that is there, or ended within this time."""


class Calls(Protocol):
    """Functions of ccxt, for accounts."""

    def call(
        self, principal: Any, account_id: int, func: str, args: Sequence[object], kwargs: Mapping[str, object]
    ) -> Awaitable[bytes]:
        """What ccxt's function answers, as JSON. What is refused is raised as a `Refusal`."""


class Holding(Protocol):
    """An open position, as it is right now; `mark` and `profit` are what closing it would have been now, if known."""

    @property
    def ticket(self) -> int: ...
    @property
    def symbol(self) -> str: ...
    @property
    def side(self) -> str:
        """buy, sell"""

    @property
    def volume(self) -> Decimal: ...
    @property
    def price(self) -> Decimal | None: ...
    @property
    def sl(self) -> Decimal | None: ...
    @property
    def tp(self) -> Decimal | None: ...
    @property
    def mark(self) -> Decimal | None: ...
    @property
    def profit(self) -> Decimal | None: ...


class Standing(Protocol):
    """How an account stands: its money by name (`balance`, `equity`, ..), and what is open, by ticket."""

    @property
    def figures(self) -> Mapping[str, Decimal | None]: ...
    @property
    def positions(self) -> Mapping[int, Holding]: ...


class Closing(Protocol):
    """How a position ended."""

    @property
    def price(self) -> Decimal | None: ...
    @property
    def profit(self) -> Decimal | None: ...


class Look(Protocol):
    """Somebody watches one account. Reading raises a `Refusal` where its backend cannot be read."""

    def read(self) -> Awaitable[Standing]: ...
    def closings(self, tickets: Sequence[int]) -> Awaitable[Mapping[int, Closing]]:
        """How positions ended that are not open any more; what the backend does not know is left out."""

    def close(self) -> Awaitable[None]:
        """Let go of whatever reading needs. Called once, and last."""


class Standings(Protocol):
    """Accounts as who watches them sees them."""

    def find(self, principal: Any, reference: str) -> int:
        """The account of a number or name, for who may see all of it. Raises a `Refusal`."""

    def require(self, principal: Any, account_id: int) -> None:
        """Raises a `Refusal` for who may not see all of the account; answers whether or not accounts can be read."""

    def look(self, account_id: int) -> Look: ...


@runtime_checkable
class Refusal(Protocol):
    """An exception that says why not, in a code of the catalogue."""

    code: str
    message: str
    details: dict[str, Any] | None
    retry_after_ms: int | None


def refused(error: Exception) -> TickwireError | None:
    """What a client is told of an exception of that room; None: it is a fault, and not a refusal."""
    if not isinstance(error, Refusal) or error.code not in CODES:
        return None
    return TickwireError(error.code, error.message, details=error.details, retry_after_ms=error.retry_after_ms)


@contextmanager
def refusing() -> Iterator[None]:
    """What that room refuses within is raised as a TickwireError."""
    try:
        yield
    except Exception as error:
        if (failure := refused(error)) is None:
            raise
        raise failure from error
