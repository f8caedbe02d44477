"""`tickwire demo`: a simulated exchange and a gateway in front of it, and what to try with them.

Holds how the two are joined for a demonstration. Must not know more of either than their configuration.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Annotated, Final, Literal

from cyclopts import Parameter
from cyclopts.validators import Number

from gateway import log
from gateway.commands.demo_account import Trades, prepare
from gateway.commands.exchange import ExchangeProcess
from gateway.commands.failure import CommandError
from gateway.commands.serve import start
from gateway.config import Config, DashboardConfig, OmsConfig, ServerConfig
from gateway.sources.config import ExchangeConfig
from gateway.sources.sim import sim_options
from oms.postgres import state_folder

# What a user sets, when a port or the database cannot be had.
SETTINGS: Final = {
    "port_setting": "--port",
    "orders_setting": "--no-orders; a demo beside another one needs a --state of its own",
}
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
    no_orders: bool = False,
    state: Path | None = None,
    keep: bool = False,
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
    no_orders
        Market data only: no order database, no account, no key.
    state
        Where the order database and the key are; `demo` in the state directory unless named.
    keep
        Go on with the orders of the last demo. Its exchange begins anew all the same, and knows none of them.
    log_level
        What the gateway logs meanwhile.
    """
    _refuse(replay, speed, synthetic=synthetic, loop=loop)
    arguments = ["--port", str(exchange_port)]
    arguments += ["--replay", *map(str, replay)] if replay else ["--synthetic"]
    options = {"--speed": speed, "--symbols": symbols, "--rate": rate, "--seed": seed}
    arguments += [part for name, value in options.items() if value is not None for part in (name, str(value))]
    arguments += ["--loop"] if loop else []
    trades = None if no_orders else _trades(state, keep=keep)
    log.configure(log_level)
    exchange = ExchangeProcess(arguments)
    try:
        _serve(exchange, port, trades)
    finally:
        exchange.stop()


def _serve(exchange: ExchangeProcess, port: int, trades: Trades | None) -> None:
    """Run the gateway, until it is told to stop or has no exchange any more; the latter is a CommandError."""
    url = exchange.wait_ready()

    def ready(at: int) -> None:
        print(what_to_try(at, url, trades), flush=True)
        exchange.on_end(lambda: os.kill(os.getpid(), signal.SIGTERM))  # the gateway drains, and `start` returns

    start(settings(port, url, trades), ready, **SETTINGS)
    if exchange.has_ended:
        raise CommandError("the simulated exchange has ended, and the gateway in front of it with it")


def _refuse(replay: tuple[Path, ...], speed: str | None, *, synthetic: bool, loop: bool) -> None:
    """Raises CommandError for options that do not go together."""
    if replay and synthetic:
        raise CommandError("--replay and --synthetic exclude each other: name a recording or ask for a made-up market")
    if not replay and (speed is not None or loop):
        raise CommandError(f"{'--loop' if speed is None else '--speed'} is of a recording: name one with --replay FILE")
    if missing := [str(file) for file in replay if not file.is_file()]:
        raise CommandError(f"no such recording: {', '.join(missing)}")


def _trades(state: Path | None, *, keep: bool) -> Trades:
    """Have something to trade with, in a state directory of the demonstration. A server of somebody else is kept."""
    folder = (state or state_folder(os.environ) / "demo").absolute()
    os.environ["TICKWIRE_STATE_DIR"] = str(folder)  # where the gateway will look
    return prepare(Config(), folder, keep=keep or "TICKWIRE_DATABASE_URL" in os.environ)


def settings(port: int, exchange_url: str, trades: Trades | None) -> Config:
    """A gateway whose one exchange, `sim`, is the simulated one; its dashboards show the account, if there is one."""
    return Config(
        server=ServerConfig(port=port),
        default_exchange="sim",
        oms=OmsConfig(enabled=trades is not None),
        dashboard=DashboardConfig(symbols=["BTC/USDT"], account_id=trades.account_id if trades else None),
        exchanges={"sim": ExchangeConfig(klass="binance", options=sim_options(exchange_url))},
    )


def what_to_try(port: int, exchange_url: str, trades: Trades | None) -> str:
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
{orders_to_try(port, trades) if trades else ""}
In a browser's console:
  ws = new WebSocket("ws://127.0.0.1:{port}/v1/stream")
  ws.onmessage = (message) => console.log(message.data)
  ws.onopen = () => ws.send('{{"action":"subscribe","channel":"quotes","symbols":["BTC/USDT"],"throttle_ms":500}}')

A page with {"prices, and what the account holds and trades" if trades else "prices"}:
  python3 -m http.server --bind 127.0.0.1 --directory examples/dashboard 8000
and in a browser http://127.0.0.1:8000/?url=ws://127.0.0.1:{port}/ws

Ctrl-C stops both.
"""


def orders_to_try(port: int, trades: Trades) -> str:
    """The same for orders; the README has these lines too."""
    url = f"http://127.0.0.1:{port}"
    account = trades.account_id

    def command(name: str, payload: str) -> str:
        body = f'{{"account_id":{account},"command":"{name}","payload":{payload}}}'
        return f"curl -H \"x-api-key: $KEY\" {url}/oms/commands -d '{body}'"

    order = '{"symbol":"BTC/USDT","side":"buy","order_type":"limit","qty":"0.01","price":"50000"}'
    left = "" if trades.is_new else "\nIt has what earlier demos left, of which this exchange knows nothing."
    return f"""
Orders: account {account} has money at the simulated exchange, and this API key may trade with it:{left}
  export KEY={trades.key}
  {command("send_order", order)}
  {command("change_order", '{"order_id":1,"new_price":"50001"}')}
  {command("cancel_order", '{"order_id":1}')}
  curl -H "x-api-key: $KEY" {url}/oms/orders/1
`order_id` is the one that the answer to send_order names. In another terminal, with the same KEY, what happens to them:
  .venv/bin/python examples/orders.py --url ws://127.0.0.1:{port}/v1/stream --account {account}
"""
