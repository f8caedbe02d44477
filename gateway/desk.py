"""The joint of the two rooms: the order desk as this process runs it, with its database, its venues and its quotes.

Holds who is given what, and the order in which that begins and ends. Must not know a socket, nor decide about orders.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, NamedTuple

import structlog

from gateway.config import Config, JwtConfig, NewsConfig
from gateway.core.hub import Hub
from gateway.core.market_data import MarketData
from gateway.core.private import refused
from gateway.errors import CODES, TickwireError
from gateway.limits import Limits
from gateway.net.http import Mounted
from gateway.sources.base import Source
from gateway.sources.config import MT5, ExchangeConfig
from oms import postgres, service, token_keys
from oms.alerts.service import AlertLimits
from oms.desk.requests import RunningMax
from oms.engine import VenueOf
from oms.errors import OmsError
from oms.model import Account, Environment, Permission, Principal, Quote
from oms.passing.service import PassThrough
from oms.postgres import PostgresError
from oms.publications.entries import Symbols
from oms.publications.feeds import FeedConfig
from oms.resources import ccxt, openapi
from oms.resources.router import router
from oms.service import Oms
from oms.standing import Standings
from oms.store.migrate import MigrationError
from oms.store.pool import FAILURES, UNAVAILABLE
from oms.vault import VaultError, open_vault
from oms.venues.base import Venue
from oms.venues.ccxt import CcxtVenue
from oms.venues.config import PassingLimits, VenueConfig
from oms.venues.mt5 import Mt5Venue

log = structlog.get_logger(__name__)

RETRY_MS: Final = 1_000


class Desk(NamedTuple):
    """The OMS, and what of it the gateway serves."""

    oms: Oms
    passing: PassThrough
    standings: Standings
    mounted: Mounted
    reader: Principal | None  # who may read the account that every dashboard is shown
    market: MarketData[Quote]

    def is_ready(self) -> bool:
        """The order database is there. An account whose exchange is not is no reason to take this process out."""
        return self.oms.is_ready

    def are_accounts_ready(self) -> bool:
        """Every account takes commands; which ones do not, and why, is for who may look at them."""
        return self.oms.are_accounts_ready


@asynccontextmanager
async def serving(config: Config, hub: Hub, sources: Mapping[str, Source]) -> AsyncIterator[Desk]:
    """The desk on its database; at the end what is under way ends, then venues, journal and database are let go of.

    Our own database is brought up to date; one that somebody else keeps must be. Raises TickwireError.
    """
    async with AsyncExitStack() as stack:
        try:
            server = await stack.enter_async_context(postgres.serving(config.oms.database_url))
            market = MarketData(hub, sources, Quote)
            stack.callback(market.close)
            wanted = service.OmsConfig(
                dsn=server.dsn,
                vault=open_vault(config.auth.master_keys, postgres.state_folder(os.environ)),
                migrates=server.embedded is not None,
                revive=server.revive,
                connections_kept_days=config.limits.connections_kept_days,
                token_keys=token_keys_of(config.auth.jwt),
                running_max=RunningMax(
                    config.limits.commands_running_per_key_max, config.limits.commands_running_per_account_max
                ),
                alert_limits=AlertLimits(
                    per_user_max=config.limits.alerts_per_user_max, per_account_max=config.limits.alerts_per_account_max
                ),
                publications_kept=timedelta(days=config.limits.publications_kept_days),
                publications_waiting_max=config.limits.publications_waiting_max,
                feeds=feeds_of(config.news),
            )
            serving_oms = service.serving(wanted, market=market, venue_of=venues_of(config.exchanges, config.limits))
            oms = await stack.enter_async_context(serving_oms)
        except (OmsError, MigrationError, PostgresError, VaultError, token_keys.KeyFileError, *FAILURES) as error:
            raise TickwireError("engine_unavailable", str(error)) from error
        oms.publications.listen(lambda row: hub.announce(row.channel, row.symbols, row.data, row.created_ns))
        passing = PassThrough(oms, anonymous=config.serves_anonymous, limits=passing_of(config.limits))
        reader = reader_of(config.dashboard.account_id)
        yield Desk(oms, passing, Standings(oms, market), mounted(oms, passing), reader, market)


def reader_of(account_id: int | None) -> Principal | None:
    """Somebody who may look at this account and do nothing else; None: there is nobody."""
    if account_id is None:
        return None
    permission = Permission(account_id=account_id)
    return Principal(user_id=0, user_name="dashboard", api_key_id=0, permissions={account_id: permission})


def token_keys_of(config: JwtConfig) -> list[token_keys.TokenKey]:
    """The keys that check tokens, out of their files. Raises KeyFileError."""
    made: list[token_keys.TokenKey] = []
    for key in config.keys:
        is_ours = key.issuer is None
        made.append(
            token_keys.TokenKey(
                kid=key.kid,
                algorithm=key.algorithm,
                pair=token_keys.load(Path(key.file), key.algorithm, is_ours=is_ours),
                issuer=key.issuer or token_keys.OURS,
                audience=key.audience or token_keys.OURS,
                users=frozenset(key.users),
                leeway_s=config.leeway_s,
                lifetime_max_s=None if is_ours else config.lifetime_max_s,
                retires_ns=None if key.retires_at is None else int(key.retires_at.timestamp()) * 1_000_000_000,
            )
        )
    return made


def feeds_of(config: NewsConfig) -> list[FeedConfig]:
    """The feeds that are read, as the other room has them."""
    return [
        FeedConfig(name=name, url=feed.url, interval_s=feed.interval_s, symbols=Symbols(feed.symbols, feed.words))
        for name, feed in config.feeds.items()
    ]


def mounted(oms: Oms, passing: PassThrough) -> Mounted:
    """The resources of the OMS, its refusals in our words, and what reading raises while the database is away."""

    def reads(error: OmsError) -> TickwireError:
        told = refused(error)
        assert told is not None
        return told

    def lost(error: Exception) -> TickwireError:
        if oms.is_ready:  # else it has been said already that the database is lost
            log.warning("the order database does not answer", error=str(error) or type(error).__name__)
        return TickwireError("engine_unavailable", "the order database is not available", retry_after_ms=RETRY_MS)

    def describe(document: dict[str, Any]) -> dict[str, Any]:
        return ccxt.describe(openapi.describe(document))

    routers = [router(oms, CODES.__getitem__), ccxt.router(passing)]
    return Mounted(routers, {OmsError: reads, **dict.fromkeys(UNAVAILABLE, lost)}, describe)


def passing_of(limits: Limits) -> PassingLimits:
    """Of functions of ccxt, as they are configured."""
    return PassingLimits(
        running_max=limits.ccxt_calls_running_max,
        waiting_max=limits.ccxt_calls_waiting_max,
        guests_running_max=limits.ccxt_guests_running_max,
        guests_waiting_max=limits.ccxt_guests_waiting_max,
        timeout_s=limits.ccxt_call_timeout_s,
        result_bytes_max=limits.ccxt_result_bytes_max,
    )


def venues_of(exchanges: Mapping[str, ExchangeConfig], limits: Limits = Limits()) -> VenueOf:  # noqa: B008  # immutable
    """Where an account's orders go: the exchange of its name, as it is configured. May raise OmsError."""
    passing = passing_of(limits)

    def venue_of(account: Account, credentials: Mapping[str, Any]) -> Venue:
        exchange = exchanges.get(account.exchange)
        if exchange is None:
            there_are = f"; there is {', '.join(exchanges)}" if exchanges else ""
            raise OmsError("unsupported_engine", f"no exchange {account.exchange} is configured{there_are}")
        if exchange.sandbox and account.environment is Environment.LIVE:
            text = f"{account.exchange} is configured as its sandbox, and the account is a live one"
            raise OmsError("unsupported_engine", text)
        if exchange.klass == MT5:
            return Mt5Venue(credentials, exchange.options)
        return CcxtVenue(
            VenueConfig(
                klass=exchange.klass,
                environment=account.environment,
                credentials=credentials,
                options=exchange.options,
                order_params=frozenset(exchange.order_params),
                currency=exchange.currency,
                passing=passing,
            )
        )

    return venue_of
