"""`tickwire demo`: a simulated exchange and a gateway in front of it, and what to try with them.

Holds how the two are joined for a demonstration. Must not know more of either than their configuration.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Final, Literal

from cyclopts import Parameter
from cyclopts.validators import Number

from gateway import log
from gateway.commands.exchange import ExchangeProcess
from gateway.commands.failure import CommandError
from gateway.commands.serve import start
from gateway.config import Config, ServerConfig
from gateway.sources.config import ExchangeConfig
from gateway.sources.sim import sim_options

PORT: Final = Parameter(validator=Number(gte=0, lte=65_535))


def demo(
    *,
    port: Annotated[int, PORT] = 8765,
    exchange_port: Annotated[int, PORT] = 0,
    replay: Annotated[tuple[Path, ...], Parameter(consume_multiple=True)] = (),
    synthetic: bool = False,
    speed: str | None = None,
    loop: bool = False,
    symbols: Annotated[int | None, Parameter(validator=Number(gte=1))] = None,
    rate: Annotated[float | None, Parameter(validator=Number(gt=0))] = None,
    seed: int | None = None,
    log_level: Literal["debug", "info", "warning", "error"] = "warning",
) -> None:
    """Run a simulated exchange and a gateway in front of it, and print what to try.

    Parameters
    ----------
    port
        Of the gateway; 0 takes any free one.
    exchange_port
        Of the simulated exchange; 0 takes any free one.
    replay
        Recorded messages to serve, one or more files.
    synthetic
        A seeded market instead of a recording; this is what happens when no recording is named.
    speed
        Of a recording: 1 as recorded, 10 ten times as fast, or max.
    loop
        Begin a recording anew at its end; otherwise its market stands still from then on, which is told.
    symbols
        How many symbols a synthetic market has.
    rate
        Updates a second of a synthetic market.
    seed
        Of a synthetic market: the same seed is the same market.
    log_level
        What the gateway logs meanwhile.
    """
    if replay and synthetic:
        raise CommandError("--replay and --synthetic exclude each other: name a recording or ask for a made-up market")
    if not replay and (speed is not None or loop):
        raise CommandError(f"{'--loop' if speed is None else '--speed'} is of a recording: name one with --replay FILE")
    if missing := [str(file) for file in replay if not file.is_file()]:
        raise CommandError(f"no such recording: {', '.join(missing)}")
    arguments = ["--port", str(exchange_port)]
    arguments += ["--replay", *map(str, replay)] if replay else ["--synthetic"]
    options = {"--speed": speed, "--symbols": symbols, "--rate": rate, "--seed": seed}
    arguments += [part for name, value in options.items() if value is not None for part in (name, str(value))]
    arguments += ["--loop"] if loop else []
    log.configure(log_level)
    exchange = ExchangeProcess(arguments)
    try:
        exchange_url = exchange.wait_ready()
        start(
            settings(port, exchange_url),
            lambda open_port: print(what_to_try(open_port, exchange_url), flush=True),
            port_setting="--port",
        )
    finally:
        exchange.stop()


def settings(port: int, exchange_url: str) -> Config:
    """A gateway whose one exchange, `sim`, is the simulated one."""
    return Config(
        server=ServerConfig(port=port),
        default_exchange="sim",
        exchanges={"sim": ExchangeConfig(klass="binance", options=sim_options(exchange_url))},
    )


def what_to_try(port: int, exchange_url: str) -> str:
    """The text a person sees first."""
    tickwire = "tickwire" if Path(sys.argv[0]).name == "tickwire" else "python -m gateway.cli"
    if Path(sys.argv[0]).parent.name == "bin" and ".venv" in Path(sys.argv[0]).parts:
        tickwire = ".venv/bin/tickwire"
    return f"""
The gateway listens on 127.0.0.1:{port}; behind it a simulated exchange, `sim`, on {exchange_url}

In another terminal, a live view (Ctrl-C ends it):
  {tickwire} watch BTC/USDT quotes --url ws://127.0.0.1:{port}
  {tickwire} watch BTC/USDT book --depth 10 --url ws://127.0.0.1:{port}
  {tickwire} watch BTC/USDT trades --url ws://127.0.0.1:{port}

Over HTTP:
  curl http://127.0.0.1:{port}/api/ws/channels
  curl http://127.0.0.1:{port}/api/ws/status
  curl http://127.0.0.1:{port}/metrics

In a browser's console:
  ws = new WebSocket("ws://127.0.0.1:{port}/v1/stream")
  ws.onmessage = (message) => console.log(message.data)
  ws.onopen = () => ws.send('{{"action":"subscribe","channel":"quotes","symbols":["BTC/USDT"],"throttle_ms":500}}')

Ctrl-C stops both.
"""
