"""The composition root: makes the parts of a gateway, joins them, and ends them in order.

Holds who is given what, and the order of the start and the shutdown. Every decision about data, requests, orders or
exchanges is somewhere else.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Any

import msgspec
import structlog
from litestar import Litestar

from gateway import __version__, desk
from gateway.auth import Authenticator, Gate
from gateway.config import Config
from gateway.core.fanout import make_fanout
from gateway.core.hub import Hub
from gateway.core.private import Accounts, Calls, Register, Standings
from gateway.errors import Close
from gateway.limits import Limits
from gateway.net import http
from gateway.net.account import AccountService
from gateway.net.addresses import Proxies
from gateway.net.certificate import Certificate
from gateway.net.dashboard import DashboardService
from gateway.net.dashboard_http import status_resource
from gateway.net.deflate import compress
from gateway.net.dialects import Dialect, Dialects
from gateway.net.guard import Guards
from gateway.net.http_portfolio import portfolio_resource
from gateway.net.listener import Listener
from gateway.net.oms import OmsService
from gateway.net.origin import Origins
from gateway.net.port import claim
from gateway.net.portfolio import Portfolios
from gateway.net.private import PrivateService
from gateway.net.record import Record
from gateway.net.roster import Roster
from gateway.net.session import StreamService
from gateway.net.sessions import Sessions
from gateway.net.workers import Workers
from gateway.sources import synthetic
from gateway.sources.base import Sink, Source, is_able
from gateway.sources.ccxt_source import CcxtSource
from gateway.sources.config import ExchangeConfig
from gateway.stats import Stats, Tally
from gateway.wire.dashboard_forms import DashboardForms
from gateway.wire.forms import Forms
from gateway.wire.oms_forms import OmsForms

log = structlog.get_logger(__name__)

SAMPLE_S = 1.0  # how often rates are measured
METRICS_EVERY = 10  # samples between two that are kept in the database
RECONNECT_AFTER_MS = 250  # a client that comes back at once finds this process still listed, or none yet
SOURCE_CLOSE_S = 5.0  # an exchange that does not answer its close is left

MakeSource = Callable[[str, ExchangeConfig, Sink, Limits], Source]


def configured_source(name: str, config: ExchangeConfig, sink: Sink, limits: Limits) -> Source:
    """The source of a configured exchange: a class of ccxt's, or the made market that benchmarks load us with."""
    if config.klass == synthetic.KLASS:
        return synthetic.SyntheticSource(name, config.options, sink, asyncio.get_running_loop())
    return CcxtSource(name, config, sink, limits=limits)


class Markets:
    """The exchanges, and the hub that their data goes through."""

    def __init__(self, config: Config, make_source: MakeSource = configured_source) -> None:
        """Needs a running loop. Raises TickwireError for an exchange that cannot be made."""
        loop = asyncio.get_running_loop()
        limits = config.limits
        self.fanout = make_fanout(loop, limits)
        self.sources: dict[str, Source] = {}
        self.hub = Hub(self.fanout, loop, limits, self.sources)
        self._expects_none = bool(config.exchanges) and not any(each.has_market for each in config.exchanges.values())
        for name, exchange in config.exchanges.items():
            if not exchange.has_market:
                continue
            self.sources[name] = make_source(name, exchange, self.hub, limits)
        self.starting: list[asyncio.Task[None]] = []
        self._started: set[str] = set()  # sources that were able to serve

    @property
    def are_able(self) -> bool:
        """One exchange that works is enough: the others are reported, not a reason to take this process out."""
        able = (is_able(source.status(), started=name in self._started) for name, source in self.sources.items())
        return self._expects_none or any(able)

    def start(self) -> None:
        """In the background."""
        self.starting = [asyncio.create_task(self._start(source)) for source in self.sources.values()]

    async def close(self) -> None:
        """End at once."""
        for task in self.starting:
            task.cancel()
        await asyncio.gather(*self.starting, return_exceptions=True)
        self.hub.close()
        await asyncio.gather(*(self._end(source) for source in self.sources.values()))

    async def _start(self, source: Source) -> None:
        try:
            await source.start()
        except Exception as error:  # a source tries again what can help: this is a bug, and the others go on
            log.warning("exchange does not start", exchange=source.name, error=str(error) or type(error).__name__)
        else:
            self._started.add(source.name)

    async def _end(self, source: Source) -> None:
        try:
            await asyncio.wait_for(source.close(), SOURCE_CLOSE_S)
        except Exception as error:  # the process ends anyway, and the other sources are to be closed too
            log.warning("exchange does not close", exchange=source.name, error=str(error) or type(error).__name__)


class App:
    """One gateway in this process."""

    def __init__(
        self,
        config: Config,
        *,
        make_source: MakeSource = configured_source,
        markets: Markets | None = None,
        authenticator: Authenticator | None = None,
        mounted: http.Mounted = http.Mounted(),  # noqa: B008  # immutable
        checks: Mapping[str, Callable[[], bool]] = {},
        remarks: Mapping[str, Callable[[], bool]] = {},
    ) -> None:
        """Needs a running loop. Raises TickwireError for an exchange that cannot be made, CertificateError for TLS.

        Without an authenticator there are no users, and market data is for everybody. `checks` are what `/readyz` asks
        besides, `remarks` what it only tells. Who gives `markets` closes them.
        """
        limits = config.limits
        self.config = config
        self._owns_markets = markets is None
        self.markets = markets = markets or Markets(config, make_source)
        self.fanout = markets.fanout
        self.sources = markets.sources
        self.hub = markets.hub
        self._tally = tally = Tally()
        self._forms = Forms(limits, compress)
        gate = Gate(authenticator, config.auth, anonymous=config.serves_anonymous) if authenticator else None
        self.guards = Guards(gate, limits) if gate else None
        self.sessions = Sessions(limits, tally)
        self.streams = StreamService(
            sessions=self.sessions,
            hub=self.hub,
            sources=self.sources,
            default_exchange=config.default_exchange,
            forms=self._forms,
        )
        self.oms = OmsService(
            sessions=self.sessions, hub=self.hub, sources=self.sources, forms=OmsForms(limits, compress)
        )
        self.certificate = certificate = Certificate.of(config.server)
        self.watching = AccountService(sessions=self.sessions)
        self.dashboard = self._dashboards()
        dialects = Dialects(self._spoken(), self.sessions, self.guards)
        self.stats = Stats(
            fanned=self.fanout,
            published=self.hub,
            connected=self.sessions,
            sources=self.sources,
            tally=tally,
            started_s=time.monotonic(),
            expires_s=(lambda: certificate.expires_s) if certificate else None,
        )
        routes = [status_resource(self.dashboard)]
        roster = Roster(self.sessions)
        remarks = self._remarks(remarks)
        resources = http.build(self.stats, self._readiness, limits, __version__, gate, mounted, remarks, routes, roster)
        self.listener = self._listener(dialects, resources, gate)
        self.workers = self.stats.workers = self._others()
        self._checks = checks
        self._listening, self._samples = False, 0
        self._sampler: asyncio.TimerHandle | None = None

    def _listener(self, dialects: Dialects, resources: Litestar, gate: Gate | None) -> Listener:
        server, certificate = self.config.server, self.certificate
        return Listener(
            dialects.route,
            resources,
            self.config.limits,
            self.fanout,
            self._tally.sockets,
            tls=(lambda: certificate.context) if certificate else None,
            proxies=Proxies(server.trusted_proxies, with_header=server.proxy_protocol),
            origins=Origins(server.origins),
            knows=gate.knows if gate else lambda headers: False,
        )

    def _remarks(self, remarks: Mapping[str, Callable[[], bool]]) -> Mapping[str, Callable[[], bool]]:
        if self.config.server.workers == 1:
            return remarks
        return {**remarks, "workers": lambda: self.workers is not None and self.workers.are_up()}

    def _others(self) -> Workers | None:
        """The other processes, where there are to be any."""
        config = self.config
        return Workers(config, self.listener, self.fanout, self._forms.all) if config.server.workers > 1 else None

    def _spoken(self) -> list[Dialect]:
        dashboards = [self.dashboard] if self.config.dashboard.enabled else []
        return [self.streams, self.oms, self.watching, *dashboards]

    def _dashboards(self) -> DashboardService:
        return DashboardService(
            sessions=self.sessions,
            hub=self.hub,
            fanout=self.fanout,
            resolve=self.streams.resolve,
            spelling=self.streams.spelling,
            forms=DashboardForms(self.config.limits, compress),
            config=self.config.dashboard,
        )

    def serve_accounts(
        self,
        accounts: Accounts,
        calls: Calls | None = None,
        standings: Standings | None = None,
        reader: Any = None,
        portfolios: Portfolios | None = None,
    ) -> None:
        """Tell of accounts and take commands for them, from whoever has an API key.

        `calls`: ccxt's functions. `reader`: the principal whose account every dashboard may read.
        """
        private = PrivateService(accounts, self._forms, self.config.limits, self._tally.errors, self.fanout.urge)
        self.streams.private = self.oms.private = private
        self.oms.calls = calls
        self.watching.accounts = standings
        self.streams.portfolios = portfolios
        if portfolios is not None:
            self.dashboard.serve_accounts(private, portfolios, reader)

    def record(self, register: Register) -> None:
        """Tell it what connections do, and give back to clients what it knows of them."""
        self.sessions.record = Record(register)
        self.streams.register = register

    @property
    def port(self) -> int:
        """The open port; the configured one may be 0."""
        return self.listener.port

    async def start(self, inherited: socket.socket | None = None) -> None:
        """Listen, and start the sources behind that. Raises OSError when the port cannot be opened.

        `inherited`: the socket to listen on, instead of the configured address.
        """
        server = self.config.server
        reuses = server.reuse_port
        if self.workers is not None and not reuses and inherited is None:
            claim(server.host, server.port)  # shared with our own workers, and with nobody else
            reuses = True
        await self.listener.start(server.host, server.port, reuse_port=reuses, inherited=inherited)
        self._listening = True
        self.markets.start()
        self._sample()
        if self.workers is not None:
            await self.workers.start(inherited)
        if not server.is_loopback and (self.guards is None or self.config.serves_anonymous):
            log.warning("anyone who reaches this port reads all market data", host=server.host)
            if self.dashboard.reader is not None:
                account_id = self.config.dashboard.account_id
                log.warning("anyone who reaches this port reads this account", host=server.host, account_id=account_id)
        log.info("listening", host=server.host, port=self.port, exchanges=list(self.sources))

    def reload(self) -> None:
        """Read the certificate again; connections stay as they are."""
        if self.workers is not None:
            self.workers.reload()
        if self.certificate is None:
            log.info("nothing to read again: there is no certificate")
        else:
            self.certificate.reload()

    async def drain(self) -> None:
        """Say goodbye to every client, and be done within `drain_ms`."""
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + self.config.limits.drain_ms / 1000
        self._listening = False
        self.listener.close_accepting()
        if self.workers is not None:
            self.workers.close_accepting()
        self.sessions.announce_shutdown(RECONNECT_AFTER_MS)
        grace_s = min(RECONNECT_AFTER_MS, self.config.limits.drain_ms / 4) / 1000
        if not await self.sessions.emptied_within(grace_s):
            if self.streams.private is not None:  # who asked for something is told what came of it
                await self.streams.private.finish((deadline_s - loop.time()) / 2)
            await self.sessions.close_all(Close.GOING_AWAY, "shutting down", (deadline_s - loop.time()) * 0.8)
        await self.listener.http.finish(deadline_s - loop.time())
        if not await self.sessions.emptied_within(deadline_s - loop.time()):
            log.warning("clients did not answer the close in time", connections=len(self.sessions.open))

    async def close(self) -> None:
        """End at once whatever is still there."""
        self._listening = False
        if self._sampler is not None:
            self._sampler.cancel()
        self.listener.close()
        if self.workers is not None:
            await self.workers.close()
        await self.watching.close()
        self.dashboard.close()
        if self._owns_markets:
            await self.markets.close()

    def _readiness(self) -> dict[str, bool]:
        return {
            "listening": self._listening,
            "sources": self.markets.are_able,
            **{name: check() for name, check in self._checks.items()},
        }

    def _sample(self) -> None:
        """Each part by itself: one that fails in every second keeps no other from deadlines and keys."""
        self._sampler = asyncio.get_running_loop().call_later(SAMPLE_S, self._sample)
        self._samples += 1
        for part in self._parts():
            try:
                part()
            except Exception:
                log.exception("what is looked at every second fails")

    def _parts(self) -> Iterator[Callable[[], object]]:
        """What is looked at in this second."""
        if self.guards is not None:
            yield self.guards.tick
        yield lambda: self.stats.sample(time.monotonic())
        if (certificate := self.certificate) is not None:
            yield lambda: certificate.remind(time.time())
        yield self.watching.tick
        if self.sessions.record is not None:
            yield self.sessions.record.tick
        if (register := self.streams.register) is not None and self._samples % METRICS_EVERY == 0:
            yield lambda: register.measured(self.stats.measures())


@contextlib.asynccontextmanager
async def serving(config: Config, inherited: socket.socket | None = None) -> AsyncIterator[App]:
    """A gateway that listens, with all its configuration asks for. Ends at once: first the doors, then what is behind.

    `inherited`: see `App.start`; who may come in is decided by its address.

    Raises TickwireError for what cannot be served, and OSError when the port cannot be opened.
    """
    if inherited is not None:
        host, port = inherited.getsockname()[:2]
        config = msgspec.structs.replace(config, server=msgspec.structs.replace(config.server, host=host, port=port))
    async with contextlib.AsyncExitStack() as stack:
        markets = Markets(config)
        stack.push_async_callback(markets.close)
        if config.oms.enabled:
            joined = await stack.enter_async_context(desk.serving(config, markets.hub, markets.sources))
            portfolios = Portfolios(
                joined.oms, joined.market, config.portfolio,
                fanout=markets.fanout, loop=asyncio.get_running_loop(), limits=config.limits,
            )  # fmt: skip
            stack.push_async_callback(portfolios.close)
            routes = [*joined.mounted.routes, portfolio_resource(portfolios)]
            app = App(
                config,
                markets=markets,
                authenticator=joined.oms.auth,
                mounted=joined.mounted._replace(routes=routes),
                checks={"orders": joined.is_ready},
                remarks={"accounts": joined.are_accounts_ready},
            )
            app.serve_accounts(joined.oms, joined.passing, joined.standings, joined.reader, portfolios)
            app.record(joined.oms.connections)
            assert app.guards is not None, "it has an authenticator"
            joined.oms.on_more = app.guards.gate.charge
            joined.oms.on_asked = markets.fanout.urge
        else:
            app = App(config, markets=markets)
        stack.push_async_callback(app.close)
        await app.start(inherited)
        yield app
