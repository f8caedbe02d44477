"""What accounts are worth, followed for whoever watches: one valuation of an account at a time, shared by all.

Holds when balances are read, quotes are looked at and opening prices are asked for. Must not know how an account is
valued (`core.portfolio`), a dialect, or who may see what.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, Protocol

import structlog

from gateway.core.holdings import Held, carried, openings_of, symbols_of, turned
from gateway.core.hub import Hub
from gateway.core.key import PORTFOLIO, Key
from gateway.core.portfolio import Price, Valuation, middle, value
from gateway.core.private import refusing
from gateway.errors import TickwireError
from gateway.net.private_stream import told
from gateway.wire.portfolio import portfolio_data

if TYPE_CHECKING:
    from _speedups.fanout import Fanout
    from gateway.config import PortfolioConfig
    from gateway.core.hub import Clock
    from gateway.core.private import Treasury
    from gateway.core.tiers import Item
    from gateway.limits import Limits

log = structlog.get_logger(__name__)

FIRST_QUOTE_S: Final = 2.0  # how long a first valuation waits for prices: without one it would leave things out
FIRST_S: Final = 10.0  # and how long who asks once waits for it
OPENING_RETRY_S: Final = 60.0  # an exchange that has no candle yet, or no answer
TURN_S: Final = 60.0  # prices this soon after a day has begun are its first
RETRY_S: Final = 1.0  # while nothing is known of the account
RETRY_MS: Final = 1_000
ACCOUNTS: Final = "accounts"  # in place of an exchange, on a hub of their own


class Quote(Protocol):
    @property
    def bid(self) -> Decimal | None: ...
    @property
    def ask(self) -> Decimal | None: ...
    @property
    def last(self) -> Decimal | None: ...
    @property
    def stale(self) -> bool: ...


class Quotes(Protocol):
    """The quotes of this process (`core.market_data`)."""

    def listen(self, on_quote: Callable[[str, str, Any], None]) -> None: ...
    def quote(self, exchange: str, symbol: str) -> Quote | None: ...
    def watch(self, exchange: str, symbol: str) -> None: ...
    def unwatch(self, exchange: str, symbol: str) -> None: ...
    def fresh(self, exchange: str, symbol: str, timeout_s: float) -> Awaitable[Quote | None]: ...


def key_of(account_id: int) -> Key:
    """The stream of an account's worth on the hub of them."""
    return Key(ACCOUNTS, PORTFOLIO, str(account_id))


class Portfolios:
    """Of all accounts. `hub` numbers what they are worth, and starts and ends valuing here."""

    def __init__(
        self,
        treasury: Treasury,
        quotes: Quotes,
        config: PortfolioConfig,
        *,
        fanout: Fanout,
        loop: Clock,
        limits: Limits,
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self.treasury = treasury
        self.quotes = quotes
        self.config = config
        self.limits = limits
        self.clock_ns = clock_ns
        self.hub = Hub(fanout, loop, limits, {ACCOUNTS: self})
        self._accounts: dict[int, _Account] = {}
        self._users: dict[tuple[str, str], set[_Account]] = {}  # of each quote
        quotes.listen(self._on_quote)

    def require(self, principal: Any, account_id: int) -> None:
        """Raises TickwireError for who may not see all of the account, and where there is none."""
        with refusing():
            self.treasury.require_whole(principal, account_id)

    def follow(self, account_id: int, on_valued: Callable[[Valuation], None]) -> Callable[[], None]:
        """Call with each new valuation, at once with the newest when there is one; returns what ends it.

        Synchronous, and called when something has changed, `interval_ms` apart. Permissions are the caller's.
        """
        ear = _Ear(self, account_id, on_valued)
        self.hub.listen(key_of(account_id), ear)
        return lambda: self.hub.unlisten(key_of(account_id), ear)

    async def now(self, account_id: int, timeout_s: float = FIRST_S) -> Valuation:
        """One valuation. Raises TickwireError when there is none in this time."""
        found: asyncio.Future[Valuation] = asyncio.get_running_loop().create_future()

        def on_valued(valuation: Valuation) -> None:
            if not found.done():
                found.set_result(valuation)

        end = self.follow(account_id, on_valued)
        try:
            return await asyncio.wait_for(found, timeout_s)
        except TimeoutError:
            text = "the account cannot be valued now: its exchange or the order database does not answer"
            raise TickwireError("exchange_unavailable", text, retry_after_ms=RETRY_MS) from None
        finally:
            end()

    def newest(self, account_id: int) -> Valuation | None:
        """The last one, while somebody follows."""
        account = self._accounts.get(account_id)
        return None if account is None else account.newest

    async def close(self) -> None:
        """Value nothing any more."""
        self.hub.close()
        accounts = list(self._accounts.values())
        self._accounts.clear()
        for account in accounts:
            account.end()
        await asyncio.gather(*(task for account in accounts for task in account.tasks), return_exceptions=True)

    # For the hub

    def acquire(self, key: Key) -> None:
        account_id = int(key.symbol)
        self._accounts[account_id] = _Account(self, account_id)

    def release(self, key: Key) -> None:
        self._accounts.pop(int(key.symbol)).end()

    # For accounts

    def use(self, account: _Account, exchange: str, symbol: str) -> None:
        self._users.setdefault((exchange, symbol), set()).add(account)
        self.quotes.watch(exchange, symbol)

    def leave(self, account: _Account, exchange: str, symbol: str) -> None:
        users = self._users[exchange, symbol]
        users.discard(account)
        if not users:
            del self._users[exchange, symbol]
        self.quotes.unwatch(exchange, symbol)

    def _on_quote(self, exchange: str, symbol: str, _quote: Quote) -> None:
        for account in self._users.get((exchange, symbol), ()):
            account.touch()


class _Ear:
    """Who follows in this process."""

    def __init__(self, owner: Portfolios, account_id: int, on_valued: Callable[[Valuation], None]) -> None:
        self._owner = owner
        self._account_id = account_id
        self._on_valued = on_valued

    def on_update(self, _key: Key, _item: Item) -> None:
        valuation = self._owner.newest(self._account_id)
        assert valuation is not None, "it has just been told"
        self._on_valued(valuation)

    def on_lost(self, _key: Key) -> None:
        """Never: what is not to be trusted is told as such."""


class _Account:
    """One account, as long as somebody watches it."""

    def __init__(self, owner: Portfolios, account_id: int) -> None:
        self.newest: Valuation | None = None
        self._owner = owner
        self._account_id = account_id
        self._holdings: Held | None = None
        self._exchange = ""  # the account's
        self._is_fresh = False  # balances are those of the last reading
        self._symbols: set[str] = set()
        self._opening: dict[str, Decimal] = {}
        self._day_start_ns = 0
        self._changed = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._due_s = 0.0
        self._asking: asyncio.Task[None] | None = None
        self._work = asyncio.create_task(self._run(), name=f"portfolio account={account_id}")
        owner.treasury.listen(account_id, self._changed.set)

    @property
    def tasks(self) -> list[asyncio.Task[None]]:
        return [task for task in (self._work, self._asking) if task is not None]

    def end(self) -> None:
        self._owner.treasury.unlisten(self._account_id, self._changed.set)
        for task in self.tasks:
            task.cancel()
        if self._timer is not None:
            self._timer.cancel()
        self._use(set())

    def touch(self) -> None:
        """A price has changed: value soon."""
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_at(max(loop.time(), self._due_s), self._tick)

    def _tick(self) -> None:
        self._timer = None
        self._due_s = asyncio.get_running_loop().time() + self._owner.config.interval_ms / 1000
        self._value()

    # What there is

    async def _run(self) -> None:
        config = self._owner.config
        while True:
            self._changed.clear()
            try:
                await self._read()
            except TickwireError as error:
                self._failed(str(error))
            except Exception:  # a fault of ours may pass, like any other
                log.exception("portfolio cannot be read", account_id=self._account_id)
                self._is_fresh = False
            if self._holdings is not None:
                self._value()
                self._ask()
            await asyncio.sleep(config.interval_ms / 1000)  # a burst of deals is one reading
            now_ns = self._owner.clock_ns()
            wait_s = config.balance_s if self._is_fresh else min(RETRY_S, config.balance_s)
            wait_s = min(wait_s, (config.boundary.next_ns(now_ns) - now_ns) / 1e9 + 0.001)
            try:
                await asyncio.wait_for(self._changed.wait(), wait_s)
            except TimeoutError:
                continue

    async def _read(self) -> None:
        """Balances, positions and deals; when they cannot be read the former ones go on, and are said to be stale.

        Raises TickwireError.
        """
        owner = self._owner
        self._turn(owner.config.boundary.start_ns(owner.clock_ns()))
        read = await told(owner.treasury.holdings(self._account_id, owner.config.currency, self._day_start_ns))
        holdings = carried(read, self._holdings)
        await self._watch(holdings)
        self._is_fresh = read.balances is not None
        self._holdings = holdings

    def _failed(self, reason: str) -> None:
        if self._is_fresh or self._holdings is None:
            log.info("portfolio cannot be read", account_id=self._account_id, error=reason)
        self._is_fresh = False

    def _turn(self, day_start_ns: int) -> None:
        """A new day begins: its first prices are those of now, where that is when it began."""
        if day_start_ns == self._day_start_ns:
            return
        was_there = self._day_start_ns and self._owner.clock_ns() - day_start_ns < TURN_S * 1e9
        prices = self._prices() if was_there else {}
        self._opening = {symbol: price.value for symbol, price in prices.items() if price.live}
        self._day_start_ns = day_start_ns
        if self._holdings is not None:
            self._holdings = turned(self._holdings)

    # Prices

    async def _watch(self, holdings: Held) -> None:
        """Have the quotes that these need; wait a little for those that are new, while the former ones go on."""
        self._exchange = holdings.exchange
        wanted = set(sorted(symbols_of(holdings))[: self._owner.limits.portfolio_symbols_max])
        added = wanted - self._symbols
        self._use(wanted | self._symbols)
        await asyncio.gather(*(self._owner.quotes.fresh(self._exchange, symbol, FIRST_QUOTE_S) for symbol in added))
        self._use(wanted)

    def _use(self, wanted: set[str]) -> None:
        for symbol in wanted - self._symbols:
            self._owner.use(self, self._exchange, symbol)
        for symbol in self._symbols - wanted:
            self._owner.leave(self, self._exchange, symbol)
        self._symbols = wanted

    def _prices(self) -> dict[str, Price]:
        prices: dict[str, Price] = {}
        for symbol in self._symbols:
            quote = self._owner.quotes.quote(self._exchange, symbol)
            price = None if quote is None else middle(quote.bid, quote.ask, quote.last)
            if quote is not None and price is not None:
                prices[symbol] = Price(price, not quote.stale)
        return prices

    def _ask(self) -> None:
        """Ask for prices of the day's beginning that are not known, beside everything else."""
        assert self._holdings is not None
        missing = sorted(openings_of(self._holdings) & self._symbols - self._opening.keys())
        if missing and (self._asking is None or self._asking.done()):
            self._asking = asyncio.create_task(self._open(missing), name=f"opening prices {self._account_id}")

    async def _open(self, symbols: list[str]) -> None:
        failed = False
        day_start_ns = self._day_start_ns
        for symbol in symbols:
            try:
                price = await told(self._owner.treasury.opening_price(self._account_id, symbol, day_start_ns))
            except TickwireError as error:
                log.debug("no opening price", account_id=self._account_id, symbol=symbol, error=str(error))
                price = None
            except Exception:
                log.exception("no opening price", account_id=self._account_id, symbol=symbol)
                price = None
            if day_start_ns != self._day_start_ns:
                return
            if price is None:
                failed = True
            else:
                self._opening[symbol] = price
        self._value()
        if failed:  # not asked again before this ends
            await asyncio.sleep(OPENING_RETRY_S)

    # What it is worth

    def _value(self) -> None:
        if self._holdings is None:
            return
        try:
            valuation = value(
                self._holdings, self._prices(), self._opening, account_id=self._account_id,
                currency=self._owner.config.currency, day_start_ns=self._day_start_ns, is_fresh=self._is_fresh,
            )  # fmt: skip
        except ArithmeticError:  # a price or an amount that is out of all proportion
            log.exception("portfolio cannot be valued", account_id=self._account_id)
            return
        if valuation != self.newest:
            self.newest = valuation
            data = portfolio_data(valuation)
            self._owner.hub.publish(key_of(self._account_id), data, t_ex=None, t_in=self._owner.clock_ns())
