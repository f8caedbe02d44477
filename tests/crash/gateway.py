"""A gateway process that dies where it is told to: the real one, as `tickwire serve` runs it, with traps set.

Holds how a child process becomes that gateway. Must not know what a run does with it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

from gateway import log, loop, process
from gateway.config import AuthConfig, Config, OmsConfig, ServerConfig
from gateway.sources.config import ExchangeConfig
from oms import keeper, postgres, reckoning, reconcile, service, trader
from oms.desk import changing, settling
from oms.venues.ccxt import CcxtVenue
from oms.venues.config import VenueConfig
from tests.crash.traps import Trap, Trapper, install
from tests.oms import database
from tests.simulated import options_at

TIMEOUT_MS = 1_000  # of a request to the exchange


class Spec(NamedTuple):
    """One life of a gateway."""

    state: Path  # the state folder, where the shared PostgreSQL is
    dsn: str  # of the run's own database on it
    exchange_url: str
    master_key: str
    log_file: Path
    native: bool = True  # whether the venue's own replace is used, or a cancel and a create
    trap: Trap | None = None
    shared_port: int | None = None  # that another life may have at the same time; 0: any free one


def serve(spec: Spec, ready: Connection) -> None:
    """Serve until killed, or asked to stop; the port is told through `ready`."""
    descriptor = os.open(spec.log_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    log.configure("info", "json")
    hurry()
    share_server(spec)
    if not spec.native:
        cannot_replace()
    if spec.trap is not None:
        install(Trapper(spec.trap, spec.state / "postgres" / "data"))
    loop.run(process.run(config_of(spec), ready=ready.send))


def config_of(spec: Spec) -> Config:
    options = {**options_at(spec.exchange_url), "timeout": TIMEOUT_MS, "enableRateLimit": False}
    return Config(
        server=ServerConfig(port=spec.shared_port or 0, reuse_port=spec.shared_port is not None),
        default_exchange="sim",
        exchanges={"sim": ExchangeConfig(klass="binance", options=options)},
        auth=AuthConfig(master_keys=[spec.master_key]),
        oms=OmsConfig(),
    )


def share_server(spec: Spec) -> None:
    """The embedded server of all runs, of which each has a database of its own; revived as it would be alone."""
    os.environ["TICKWIRE_STATE_DIR"] = str(spec.state)
    os.environ.pop("TICKWIRE_DATABASE_URL", None)
    make = postgres.Embedded.__init__

    def made(self: postgres.Embedded, state: Path, settings: Mapping[str, str] | None = None) -> None:
        make(self, state, settings or database.SETTINGS)
        self.dsn = spec.dsn

    postgres.Embedded.__init__ = made  # type: ignore[assignment,method-assign]  # what it is called, and no fsync


def cannot_replace() -> None:
    """As at an exchange without it: an order is canceled, and created anew."""
    make = CcxtVenue.__init__

    def made(self: CcxtVenue, config: VenueConfig) -> None:
        make(self, config)
        self.can_replace = False

    CcxtVenue.__init__ = made  # type: ignore[method-assign]  # only what it says it can


def hurry() -> None:
    """The same steps, sooner: what is waited for in seconds at a real venue takes milliseconds at this one."""
    for module, name, value in (
        (settling, "DELAYS_S", (0.05, 0.1, 0.2)),
        (settling, "APART_NS", 300_000_000),
        (settling, "QUIET_NS", 300_000_000),
        (changing, "LOOKS_S", (0.0, 0.02, 0.05, 0.1)),
        (reconcile, "QUIET_NS", 300_000_000),
        (reckoning, "QUIET_NS", 300_000_000),
        (keeper, "PERIOD_S", 1.0),
        (keeper, "BACKOFF_S", (0.05, 0.1, 0.2)),
        (trader, "RETRY_S", (0.05, 0.1, 0.2)),
        (service, "RETRY_S", (0.05, 0.1, 0.2)),
    ):
        assert hasattr(module, name), (module, name)
        setattr(module, name, value)
