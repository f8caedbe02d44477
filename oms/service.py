"""The OMS as whoever composes the application sees it: commands in, committed events out, whatever happens below.

Holds the pool, the keys, the outbox, and one engine after another: when the database is lost commands are refused, and
a new engine loads what was committed, as at the start of a process. Must not know a socket or HTTP.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from decimal import Decimal
from typing import Final

import msgspec
import structlog

from oms import signing
from oms.alerts.service import AlertLimits, Alerts
from oms.auth import Auth, may_read, require_known, require_whole
from oms.commands import Request, parse
from oms.connections import Connections
from oms.desk.requests import RunningMax
from oms.desk.results import CommandResult
from oms.engine import Engine, Parts, VenueOf
from oms.errors import OmsError
from oms.journal import DESK_LOCK, DeskTakenError
from oms.keyring import Keyring
from oms.market import MarketData
from oms.model import Account, Order, Position, Principal, Quote
from oms.outbox import Outbox
from oms.payloads import Payloads
from oms.publications import feeds
from oms.publications.feeds import FeedConfig
from oms.publications.service import Accepted, Publications
from oms.report import Cause, Report
from oms.signers import Signers
from oms.signing import Signature
from oms.store import changes
from oms.store.migrate import migrate, require_current, status
from oms.store.pool import FAILURES, UNAVAILABLE, Connection, Pool, connect, open_pool
from oms.token_keys import TokenKey
from oms.trader import Readiness, Trader
from oms.valuing import Holdings, Valuer, opening_price
from oms.vault import Vault

log = structlog.get_logger(__name__)

RETRY_S: Final = (0.2, 0.5, 1.0, 2.0, 5.0)  # before a lost database is tried again; the last one again and again
RETRY_MS: Final = 1_000
TAKEN_WAIT_S: Final = 1.0  # for the server to notice that the process before us has died
LOST: Final = "the order database is not available"
TAKEN: Final = "another process takes the orders still: this one does when that has ended"
TABLES: Final = frozenset({"accounts", "account_credentials", "account_risk", "strategies", "settings"})


async def _nothing() -> None:
    """A server that is not ours is revived by others."""


class OmsConfig(msgspec.Struct, frozen=True, kw_only=True):
    """`revive` starts the database's server again, when it is ours and gone (`oms.postgres.Server.revive`)."""

    dsn: str
    vault: Vault
    migrates: bool = True  # else a database of another version is refused
    revive: Callable[[], Awaitable[None]] = _nothing
    wait_s: float = 10.0  # how long whoever sends a command waits for its end, before being told that it runs
    running_max: RunningMax = RunningMax()
    token_keys: Sequence[TokenKey] = ()  # the newest first
    connections_kept_days: float = 30.0  # what was recorded of connections, and of how the gateway did
    stop_s: float = 5.0  # how long a stop waits for what is under way
    alert_limits: AlertLimits = AlertLimits()
    publications_kept: timedelta = timedelta(days=30)
    publications_waiting_max: int = 1_000
    feeds: Sequence[FeedConfig] = ()


class Oms:
    """See the module. Enter `serving`."""

    def __init__(self, config: OmsConfig, pool: Pool, parts: Parts) -> None:
        self.pool = pool
        self.vault = config.vault
        self.outbox = Outbox(pool)
        self._valuer = Valuer(pool)
        self.connections = Connections(pool, kept_days=config.connections_kept_days, clock_ns=parts.clock_ns)
        self.keyring = Keyring(pool, config.token_keys, clock_ns=parts.clock_ns)
        self.publications = Publications(
            pool, kept=config.publications_kept, waiting_max=config.publications_waiting_max, clock_ns=parts.clock_ns
        )
        self.signers = Signers(self.keyring.auth, config.vault, parts.clock_ns)
        self.on_more: Callable[[Principal, int], None] = lambda principal, count: None  # commands of one request
        self.on_asked: Callable[[int], None] = lambda more: None  # one more waits for an answer to commands, or less
        self._config = config
        self._parts = parts
        self._engine: Engine | None = None
        self._absence = LOST  # why there is none, when there is none
        self._changed = asyncio.Event()

    @property
    def auth(self) -> Auth:
        return self.keyring.auth

    @property
    def is_ready(self) -> bool:
        """The database is there."""
        return self._engine is not None

    @property
    def obstacles(self) -> dict[int, str]:
        """Why accounts take no commands now; raises OmsError when none does."""
        traders = self._running().traders
        return {number: each.desk.obstacle for number, each in traders.items() if each.desk.obstacle is not None}

    async def execute(
        self,
        principal: Principal,
        body: object,
        *,
        idempotency_key: str | None = None,
        signature: Signature | None = None,
    ) -> list[CommandResult]:
        """Carry out what a decoded body asks for: one answer each, in the order asked.

        Whoever asked may be gone before it ends, and says that somebody waits: `waiting`, or as it has begun itself.
        Raises OmsError for a body that is no command nor an array of them, and for one whose signature is not right.
        """
        if signature is not None:
            self.require_right(principal, signature)
        asked = parse(body, request_id=idempotency_key)
        if len(asked) > 1:
            self.on_more(principal, len(asked) - 1)
        try:
            engine = self._running()
        except OmsError as error:
            return [CommandResult.of_refusal(error if isinstance(each, Request) else each) for each in asked]
        if signature is None:
            asked = [self._taken_unsigned(principal, each) for each in asked]
        return await engine.requests.execute(principal, asked)

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """While somebody waits for the answer to commands."""
        self.on_asked(1)
        try:
            yield
        finally:
            self.on_asked(-1)

    async def publish(self, principal: Principal, channel: str, body: bytes) -> Accepted:
        """Keep a signal or news and tell of it. Raises OmsError."""
        return await self.publications.publish_json(principal, channel, body)

    def require_unsigned(self, principal: Principal, account_id: int) -> None:
        """Raises OmsError where an account takes signed commands only; to who may not know it, it is not there."""
        require_known(principal, account_id)
        if self.trader(account_id).account.requires_signing:
            raise signing.required(account_id=account_id)

    def require_right(self, principal: Principal, signature: Signature) -> None:
        """Raises OmsError unless it is of the principal's API key, and here for the first time."""
        self.signers.check(principal, signature)

    def signer(self, principal: Principal, connection_id: str) -> Callable[[bytes], str]:
        """What signs events for the principal on a connection. Raises OmsError."""
        return self.signers.signer(principal, connection_id)

    def _taken_unsigned(self, principal: Principal, asked: Request | OmsError) -> Request | OmsError:
        if isinstance(asked, Request):
            try:
                self.require_unsigned(principal, asked.account_id)
            except OmsError as error:
                if error.code == "permission_denied":  # what else is wrong is the desk's to say
                    return error
        return asked

    async def reconcile(self, account_id: int) -> Report:
        """Hold the account against its venue now; the report of a run that began after this was asked."""
        return await self._running().trader(account_id).keeper.request(Cause.REQUEST)

    async def reassign(
        self,
        principal: Principal,
        account_id: int,
        strategy_id: int,
        *,
        order_ids: Sequence[int],
        position_ids: Sequence[int],
    ) -> tuple[list[Order], list[Position]]:
        """Give orders and positions of the account to a strategy: all of them, or OmsError."""
        positions = self._running().trader(account_id).positions
        return await positions.reassign(principal, strategy_id, order_ids=order_ids, position_ids=position_ids)

    def readiness(self) -> list[Readiness]:
        """How far each account is; raises OmsError while the database is away."""
        return [trader.readiness for _, trader in sorted(self._running().traders.items())]

    @property
    def are_accounts_ready(self) -> bool:
        """The database is there, and every account takes commands."""
        return self._engine is not None and not self.obstacles

    async def require_venue(self, account: Account) -> None:
        """Raises OmsError when there is nowhere that orders of such an account could go. Nothing is connected."""
        await self._parts.venue_of(account, {}).close()

    async def changed(self) -> None:
        """Take over what was stored: limits, credentials and strategies of accounts, and what holds for all of them.
        In force after this."""
        await self._running().refresh()

    def exchange_of(self, principal: Principal, account_id: int) -> str:
        """The configured exchange of an account, for who has to do with it. Raises OmsError."""
        require_known(principal, account_id)
        return self.trader(account_id).account.exchange

    @property
    def traders(self) -> Mapping[int, Trader]:
        """All accounts as they are now, by number. Raises OmsError `engine_unavailable`."""
        return self._running().traders

    def readable(self, principal: Principal) -> list[int]:
        """The accounts that a principal may read. Raises OmsError `engine_unavailable`."""
        return [account_id for account_id in self._running().traders if may_read(principal, account_id)]

    # What an account is worth: see `oms.valuing`

    def require_whole(self, principal: Principal, account_id: int) -> None:
        """Raises OmsError for who may not see all of the account, and where there is none."""
        require_whole(principal, account_id)
        self.trader(account_id)

    def listen(self, account_id: int, on_more: Callable[[], None]) -> None:
        """Call this whenever something of the account has been committed."""
        self.outbox.listen(account_id, on_more)

    def unlisten(self, account_id: int, on_more: Callable[[], None]) -> None:
        self.outbox.unlisten(account_id, on_more)

    async def holdings(self, account_id: int, currency: str, since_ns: int) -> Holdings:
        """What there is of an account, and what deals have changed of it since. Raises OmsError."""
        with _reachable():
            return await self._valuer.holdings(self.trader(account_id).desk, currency, since_ns)

    async def opening_price(self, account_id: int, symbol: str, at_ns: int) -> Decimal | None:
        """The first price of a market since a moment, at the account's exchange. Raises OmsError."""
        return await opening_price(self.trader(account_id).desk, symbol, at_ns)

    @property
    def alerts(self) -> Alerts:
        """The alerts of all accounts. Raises OmsError `engine_unavailable`."""
        return self._running().alerts

    def trader(self, account_id: int) -> Trader:
        """The account as it is now. Raises OmsError `account_not_found` or `engine_unavailable`."""
        return self._running().trader(account_id)

    def _running(self) -> Engine:
        if self._engine is None:
            raise OmsError("engine_unavailable", self._absence, retry_after_ms=RETRY_MS)
        return self._engine

    # What goes on by itself

    async def start(self) -> None:
        """Become the one writer of the database, or begin without that where another process still is: `run` waits
        for its end. Raises OmsError when neither can be."""
        await self.keyring.load()
        self._parts.market.listen(self._on_quote)
        try:
            self._engine = await self._new_engine(wait_s=TAKEN_WAIT_S)
        except DeskTakenError as error:
            self._absence = TAKEN
            log.warning("orders are refused until it ends", reason=str(error))

    async def run(self) -> None:
        """Until cancelled: one engine after another."""
        while True:
            if self._engine is not None:
                await self._engine.lost.wait()
                self._absence = LOST
                lost, self._engine = self._engine, None
                await lost.stop(0)
            self._engine = await self._until_there()
            self.outbox.reset()
            log.info("orders are taken" if self._absence == TAKEN else "the order database is back")

    async def stop(self) -> None:
        engine, self._engine = self._engine, None
        if engine is not None:
            await engine.stop(self._config.stop_s)
        await self._parts.payloads.flush()
        await self.connections.flush()

    async def follow(self) -> None:
        """Until cancelled: take over what others change in the database."""
        async with asyncio.TaskGroup() as group:
            group.create_task(changes.follow(self._config.dsn, self._heard))
            group.create_task(self.keyring.keep())
            group.create_task(self._refresh())
            group.create_task(self._parts.payloads.keep())
            group.create_task(self.connections.keep())

    async def read_feeds(self) -> None:
        """Until cancelled: publish what feeds have that is new."""
        await feeds.keep(self._config.feeds, self.publications)

    def _heard(self, table: str | None) -> None:
        self.keyring.heard(table)
        if table is None or table in TABLES:
            self._changed.set()

    async def _refresh(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()  # before reading, so that what changes meanwhile is read again
            try:
                if self._engine is not None:
                    await self._engine.refresh()
            except (OmsError, *FAILURES) as error:
                tell = log.debug if isinstance(error, UNAVAILABLE) else log.warning  # that it is away has been said
                tell("changes could not be read", error=str(error) or type(error).__name__)
                self._changed.set()
                await asyncio.sleep(changes.RETRY_S)

    def _on_quote(self, exchange: str, symbol: str, quote: Quote) -> None:
        if self._engine is not None:
            self._engine.on_quote(exchange, symbol, quote)

    async def _new_engine(self, *, wait_s: float | None = None) -> Engine:
        engine = Engine(self._parts)
        await engine.start(self.outbox.committed, wait_s=wait_s)
        self.signers.begin()
        return engine

    async def _until_there(self) -> Engine:
        tries, told = 0, ""
        while True:
            try:
                if tries:
                    await self._config.revive()
                return await self._new_engine()
            except DeskTakenError:
                continue  # it has been waited for
            except (OmsError, *UNAVAILABLE) as error:
                reason = str(error) or type(error).__name__
                if reason != told:  # once each, however long it is away
                    told = reason
                    log.warning("the order database is not back yet", error=reason)
            except Exception:  # whatever it is: who gave up here would refuse commands until somebody restarts us
                log.exception("the order database is not back yet")
            await asyncio.sleep(RETRY_S[min(tries, len(RETRY_S) - 1)])
            tries += 1


@asynccontextmanager
async def serving(
    config: OmsConfig, *, market: MarketData, venue_of: VenueOf, clock_ns: Callable[[], int] = time.time_ns
) -> AsyncIterator[Oms]:
    """The OMS on a database, while this is entered. Raises OmsError or MigrationError when it cannot begin."""
    await _prepare(config)
    async with await open_pool(config.dsn) as pool:
        parts = Parts(
            dsn=config.dsn, pool=pool, market=market, payloads=Payloads(pool), vault=config.vault, venue_of=venue_of,
            wait_s=config.wait_s, running_max=config.running_max,
            alert_limits=config.alert_limits, clock_ns=clock_ns,
        )  # fmt: skip
        oms = Oms(config, pool, parts)
        await oms.start()
        tasks = [asyncio.create_task(_logged(work)) for work in (oms.run, oms.follow, oms.read_feeds)]
        try:
            yield oms
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await oms.stop()


@contextmanager
def _reachable() -> Iterator[None]:
    try:
        yield
    except UNAVAILABLE as error:
        raise OmsError("engine_unavailable", LOST, retry_after_ms=RETRY_MS) from error


async def _logged(work: Callable[[], Awaitable[None]]) -> None:
    try:
        await work()
    except Exception:
        log.exception("a part of the order desk has failed: restart it")


async def _prepare(config: OmsConfig) -> None:
    connection = await connect(config.dsn)
    try:
        if config.migrates:
            if (await status(connection)).waiting:
                await _without_a_desk(connection)
            await migrate(connection)
        else:
            await require_current(connection)
    finally:
        await connection.close()


async def _without_a_desk(connection: Connection) -> None:
    """Until no other process, which may know the tables as they were only, writes; for as long as the connection."""
    if not await connection.fetchval("SELECT pg_try_advisory_lock($1)", DESK_LOCK):
        log.warning("another process runs the desk of a database that has to be migrated: it is waited for")
        await connection.execute("SELECT pg_advisory_lock($1)", DESK_LOCK)
