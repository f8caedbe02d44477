"""Configuration: what an operator may set, section by section.

Holds the shapes, their defaults and rules. Must not open a socket nor know ccxt; an exchange's own options are a table
it passes on unread. `gateway.config_file` reads them.
"""

from __future__ import annotations

import datetime
import ipaddress
import re
from typing import Annotated, Final, Literal

import msgspec

from gateway.core.day import Boundary, zone_of
from gateway.limits import Limits
from gateway.net.origin import normalised
from gateway.sources.config import ExchangeConfig


def _is_host(text: str) -> bool:
    """Whether it looks like one; if there is such a host shows when it is listened on."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return re.fullmatch(r"[\w-]{1,63}(\.[\w-]{1,63})*\.?", text) is not None
    return True


_Symbol = Annotated[str, msgspec.Meta(pattern=r"^(?!\*\Z)[^\x00-\x1f\x7f]{1,128}\Z")]  # `*` stands for all of them


class ServerConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where to listen. Only this machine may ask unless told otherwise."""

    host: Annotated[str, msgspec.Meta(min_length=1)] = "127.0.0.1"
    port: Annotated[int, msgspec.Meta(ge=0, le=65_535)] = 8765  # 0: any free one
    workers: Annotated[int, msgspec.Meta(ge=1, le=64)] = 1  # processes that take connections, this one among them
    reuse_port: bool = False  # another process may listen there too, if it says so as well
    tls_certificate: str | None = None  # files in PEM; with them, TLS alone is spoken on the port
    tls_key: str | None = None
    tls_key_password: str | None = None
    trusted_proxies: list[str] = []  # addresses and networks: what they say of whom they speak for is believed
    proxy_protocol: bool = False  # they begin each connection with a PROXY header
    origins: list[str] = []  # of web pages that may open a WebSocket, beside those of this host

    def __repr__(self) -> str:
        return f"ServerConfig(host={self.host!r}, port={self.port})"  # the password is not to be shown

    def __post_init__(self) -> None:
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError("tls_certificate: needs tls_key beside it, and the other way round")
        for network in self.trusted_proxies:
            try:
                ipaddress.ip_network(network)
            except ValueError as error:
                raise ValueError(f"trusted_proxies: {error}") from None
        for origin in self.origins:
            try:
                normalised(origin)
            except ValueError as error:
                raise ValueError(f"origins: {error}") from None
        if self.proxy_protocol and not self.trusted_proxies:
            raise ValueError("proxy_protocol: needs trusted_proxies: from nobody else is a PROXY header believed")
        if self.host.startswith("["):
            raise ValueError("host: brackets are for URLs: write an IPv6 address without them, as in '::1'")
        if not _is_host(self.host):
            raise ValueError("host: neither an address nor the name of a host")

    @property
    def is_loopback(self) -> bool:
        """Only this machine can reach the host."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


class JwtKeyConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """A key that checks tokens; without an `issuer` it is ours, and signs them when it is the first of ours."""

    kid: Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
    algorithm: Literal["EdDSA", "HS256"] = "EdDSA"
    file: Annotated[str, msgspec.Meta(min_length=1)]
    issuer: str | None = None
    audience: str | None = None
    users: list[str] = []  # for whom the issuer may speak; empty: for everybody
    retires_at: datetime.datetime | None = None

    def __post_init__(self) -> None:
        if (self.issuer is None) != (self.audience is None):
            raise ValueError("issuer: another issuer has an `audience` too, and our own keys have neither")
        if not self.issuer and self.issuer is not None:
            raise ValueError("issuer: is empty")
        if not self.audience and self.audience is not None:
            raise ValueError("audience: is empty")
        if self.issuer == "tickwire":
            raise ValueError("issuer: tickwire is ourselves: leave it out")
        if self.retires_at is not None and self.retires_at.tzinfo is None:
            raise ValueError("retires_at: has no time zone: write 2026-12-31T00:00:00Z")


class JwtConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """Keys that sign and check tokens, the newest first, and what is asked of the tokens of other issuers."""

    keys: list[JwtKeyConfig] = []
    leeway_s: Annotated[float, msgspec.Meta(ge=0, le=60)] = 5.0  # how far the clocks of issuers may be off
    lifetime_max_s: Annotated[float, msgspec.Meta(gt=0, le=2_592_000)] = 3_600.0  # of others' tokens

    def __post_init__(self) -> None:
        if len({key.kid for key in self.keys}) < len(self.keys):
            raise ValueError("keys: two have the same `kid`")


class AuthConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Who may do what without credentials, how long credentials last on a connection, and how often a key may ask."""

    anonymous_market_data: bool | None = None  # None: where only this machine can reach us
    auth_timeout_s: Annotated[float, msgspec.Meta(gt=0)] = 10.0
    reauthenticate_after_s: Annotated[float, msgspec.Meta(gt=0)] = 43_200.0  # a trading day
    reauthenticate_notice_s: Annotated[float, msgspec.Meta(gt=0)] = 60.0
    key_requests_per_s: Annotated[float, msgspec.Meta(gt=0)] = 200.0  # over all its connections, and over HTTP
    key_requests_burst: Annotated[int, msgspec.Meta(ge=1)] = 800
    user_requests_per_s: Annotated[float, msgspec.Meta(gt=0)] = 1_000.0  # over all keys
    user_requests_burst: Annotated[int, msgspec.Meta(ge=1)] = 4_000
    master_keys: list[str] = []  # the newest first
    jwt: JwtConfig = JwtConfig()

    def __repr__(self) -> str:
        return "AuthConfig(..)"  # it holds secrets, and whatever holds it may be shown


class OmsConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Whether orders are taken, and where they are kept."""

    enabled: bool = True
    database_url: str | None = None  # None: a PostgreSQL of our own, in the state directory

    def __repr__(self) -> str:
        return "OmsConfig(..)"  # an address may hold a password


class DashboardConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The dashboard dialect: what a new client is told, how often, and how many there may be."""

    enabled: bool = True
    symbols: list[Annotated[str, msgspec.Meta(min_length=1, max_length=128)]] = []
    account_id: Annotated[int, msgspec.Meta(ge=1)] | None = None  # that everybody may read: single-user mode
    ping_interval_s: Annotated[float, msgspec.Meta(gt=0)] = 30.0
    price_update_interval_s: Annotated[float, msgspec.Meta(ge=0.1)] = 3.0
    portfolio_update_interval_s: Annotated[float, msgspec.Meta(ge=0.1)] = 5.0
    connections_max: Annotated[int, msgspec.Meta(ge=0)] = 10_000


class FeedConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An RSS or Atom feed that is read for news. Symbols are those of `symbols`, and those of `words` (symbol -> words)
    of which the headline has one."""

    url: str
    interval_s: Annotated[float, msgspec.Meta(ge=10, le=86_400)] = 300.0
    symbols: Annotated[list[_Symbol], msgspec.Meta(max_length=32)] = []
    words: dict[_Symbol, list[Annotated[str, msgspec.Meta(min_length=1)]]] = {}

    def __post_init__(self) -> None:
        if not re.fullmatch(r"https?://[^\x00-\x20\x7f]+", self.url):
            raise ValueError("url: must be http://.. or https://..")

    def __repr__(self) -> str:
        return "FeedConfig(..)"  # an address may hold a password


class NewsConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where news are read, by the name that is their `source`."""

    feeds: dict[Annotated[str, msgspec.Meta(pattern=r"^[^\x00-\x1f\x7f]{1,64}\Z")], FeedConfig] = {}


class PortfolioConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """In what accounts are valued, from when a day is counted, and how often that is told."""

    currency: Annotated[str, msgspec.Meta(min_length=1)] = "USDT"
    time_zone: str = "UTC"
    day_starts_hour: Annotated[int, msgspec.Meta(ge=0, le=23)] = 0
    interval_ms: Annotated[int, msgspec.Meta(ge=10)] = 500  # between two valuations of an account
    balance_s: Annotated[float, msgspec.Meta(gt=0)] = 30.0  # balances are read this often, and after each deal

    def __post_init__(self) -> None:
        try:
            zone_of(self.time_zone)
        except ValueError as error:
            raise ValueError(f"time_zone: {error}") from None

    @property
    def boundary(self) -> Boundary:
        """When days begin."""
        return Boundary(zone_of(self.time_zone), self.day_starts_hour)


class LogConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How much to log, and how: `auto` is for people on a terminal and JSON everywhere else."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "json", "console"] = "auto"


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """All of it. `default_exchange` is the one meant when a client names a symbol without an exchange."""

    server: ServerConfig = ServerConfig()
    default_exchange: str | None = None
    exchanges: dict[str, ExchangeConfig] = {}
    limits: Limits = Limits()
    auth: AuthConfig = AuthConfig()
    oms: OmsConfig = OmsConfig()
    dashboard: DashboardConfig = DashboardConfig()
    news: NewsConfig = NewsConfig()
    portfolio: PortfolioConfig = PortfolioConfig()
    log: LogConfig = LogConfig()

    def __post_init__(self) -> None:
        if self.server.workers > 1 and (problem := self.limits.link_problem()):
            raise ValueError(f"with {self.server.workers} `workers`: {problem}")

    @property
    def serves_anonymous(self) -> bool:
        """Market data is for everybody who reaches us."""
        configured = self.auth.anonymous_market_data
        return self.server.is_loopback if configured is None else configured


SECTIONS: Final[dict[str, type[msgspec.Struct]]] = {
    "server": ServerConfig, "limits": Limits, "auth": AuthConfig, "oms": OmsConfig,
    "portfolio": PortfolioConfig, "dashboard": DashboardConfig,
    "news": NewsConfig,
    "log": LogConfig,
}  # fmt: skip
