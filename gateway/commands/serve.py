"""`tickwire serve` and `tickwire check`: find the configuration, run the gateway, and say what is wrong with either.

Holds what an operator sees before the log starts and after it ends. Must not know how the gateway is put together.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import msgspec

import _speedups
from gateway import log, loop
from gateway.commands.failure import CommandError
from gateway.config import Config, ServerConfig
from gateway.config_file import ConfigError, Problem, load, where
from gateway.errors import TickwireError
from oms.errors import OmsError

DEFAULT_FILE: Final = Path("tickwire.toml")
EXAMPLE: Final = '[exchanges.binance]\nclass = "binance"\n'
# What a name that does not resolve ends with; `socket.create_server` makes plain OSErrors of them.
NO_SUCH_HOST: Final = frozenset(value for name, value in vars(socket).items() if name.startswith("EAI_"))


def serve(config: Path | None = None, workers: int | None = None) -> None:
    """Run the gateway until SIGTERM or Ctrl-C.

    Parameters
    ----------
    config
        The configuration; without it, tickwire.toml of this folder when there is one. TICKWIRE_SERVER__PORT=9000 in
        the environment overrides `port` of `[server]`, and so on.
    workers
        How many processes take connections on the port; one core each is enough. Over `workers` of `[server]`.
    """
    settings = _usable(config)
    if workers is not None:
        settings = with_workers(settings, workers)
    log.configure(settings.log.level, settings.log.format)
    with log.masking_uncaught(CommandError):
        start(settings)


def with_workers(settings: Config, workers: int) -> Config:
    """The same with so many processes. Raises CommandError for a number that cannot be, or not with its limits."""
    try:
        server = msgspec.convert({**msgspec.structs.asdict(settings.server), "workers": workers}, ServerConfig)
        return msgspec.structs.replace(settings, server=server)
    except ValueError as error:
        raise CommandError(f"--workers {workers}: {error}") from None


def check(config: Path | None = None) -> None:
    """Read the configuration as `serve` would, and explain every mistake with its line.

    Parameters
    ----------
    config
        The configuration; without it, tickwire.toml of this folder when there is one.
    """
    settings = _usable(config)
    print(f"The configuration is right: listen on {settings.server.host}:{settings.server.port}")
    for name, exchange in settings.exchanges.items():
        is_default = " (default)" if name == settings.default_exchange else ""
        print(f"  {name}{is_default}: {exchange.klass}{', sandbox' if exchange.sandbox else ''}")
    prefix = next((name for name, exchange in settings.exchanges.items() if exchange.has_market), None)
    if settings.default_exchange is None and prefix is not None:
        print(f"No exchange is the default: symbols need a prefix ({prefix}:BTC/USDT), or set `default_exchange`")


def find(file: Path | None) -> Config:
    """The configuration that a command was asked to use; it names at least one exchange."""
    if file is None and DEFAULT_FILE.exists():
        file = DEFAULT_FILE
    settings = load(file, os.environ)
    if not settings.exchanges:
        where = file or f"{DEFAULT_FILE} (which is not there; --config names another)"
        raise CommandError(f"no exchange is configured; write into {where}:\n\n{EXAMPLE}")
    return settings


def start(
    settings: Config,
    ready: Callable[[int], None] | None = None,
    *,
    port_setting: str = "`port` of [server]",
    orders_setting: str = "`enabled = false` of [oms]",
) -> None:
    """Serve until told to stop; `ready` hears the port once it is open. Failures become a CommandError.

    `port_setting`: what its user sets to have another port; `orders_setting`: to do without orders.
    """
    _require_compiled()
    from gateway import process  # noqa: PLC0415  # it needs the compiled modules

    try:
        loop.run(process.run(settings, ready=ready))
    except TickwireError as error:
        orders = f"; market data alone needs none: {orders_setting}" if error.code == "engine_unavailable" else ""
        raise CommandError(error.message + orders) from error
    except OSError as error:
        if advice := _advice(error, settings, port_setting):
            raise CommandError(advice) from error
        raise


def _require_compiled() -> None:
    if missing := _speedups.missing():
        raise CommandError(
            f"compiled modules are missing: {', '.join(missing)}; run `make setup`, or install gcc and tickwire again"
        )


def _usable(file: Path | None) -> Config:
    """The configuration, once it is sure that there is an exchange for each entry; else every mistake at once."""
    settings = find(file)
    _require_compiled()
    if problems := list(_unusable(settings, file or DEFAULT_FILE)):
        raise ConfigError(problems)
    return settings


def _unusable(settings: Config, file: Path) -> Iterator[Problem]:
    """Exchanges that ccxt does not know, found as `serve` would find them, and a certificate that cannot be used;
    nothing is connected."""
    from gateway.net.certificate import Certificate, CertificateError  # noqa: PLC0415  # as below
    from gateway.sources import synthetic  # noqa: PLC0415  # it needs the compiled modules
    from gateway.sources.ccxt_source import make_exchange  # noqa: PLC0415  # ccxt takes a second to load
    from oms.venues.mt5_link import read_options as read_mt5_options  # noqa: PLC0415  # as above

    read = file if file.exists() else None
    try:
        Certificate.of(settings.server)
    except CertificateError as error:
        yield Problem(where(read, os.environ, ("server", "tls_certificate")), "server.tls_certificate", str(error))
    for name, exchange in settings.exchanges.items():
        try:
            if exchange.klass == synthetic.KLASS:
                synthetic.read_options(exchange.options)
            elif not exchange.has_market:
                read_mt5_options(exchange.options)
            else:
                make_exchange(exchange)
        except (TickwireError, OmsError) as error:
            setting = (error.details or {}).get("setting", "class")
            place = where(read, os.environ, ("exchanges", name, setting))
            yield Problem(place, f"exchanges.{name}", error.message)


def _advice(error: OSError, settings: Config, port_setting: str) -> str | None:
    """What to do about a socket that does not open; nothing for errors that have another cause."""
    host, port = settings.server.host, settings.server.port
    if error.errno in NO_SUCH_HOST:
        return f"there is no host '{host}' on this machine: set `host` of [server] to one of its addresses"
    return {
        errno.EADDRINUSE: f"port {port} on {host} is taken: stop what uses it, or choose another with {port_setting}",
        errno.EADDRNOTAVAIL: f"{host} is no address of this machine: set `host` of [server] to one of its addresses",
        errno.EACCES: f"port {port} needs rights this user does not have: set {port_setting} to 1024 or more",
        errno.EMFILE: "too many open files: raise the limit with `ulimit -n`",
    }.get(error.errno or 0)
