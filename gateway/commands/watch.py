"""`tickwire watch`: one stream of a running gateway on this terminal.

Holds the loop between the client and the view. Must not know the gateway's insides: it speaks the wire.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
import time
from collections.abc import Iterator
from typing import Annotated, Any, Final, Literal

from cyclopts import Parameter
from cyclopts.validators import Number
from rich.console import Console
from rich.live import Live

from gateway import loop
from gateway.commands.failure import CommandError
from gateway.commands.view import View
from gateway.core.key import CHANNELS
from gateway.net.client import ClientError, Lost, Message, StreamClient

FRAMES_PER_S: Final = 8
LIBRARIES: Final = ("asyncio", "picows")
Channel = Literal["quotes", "trades", "bars", "book"]

# What to do about a symbol the gateway refused.
ADVICE: Final = {
    "unknown_symbol": "no such symbol: write it as the exchange lists it, for example BTC/USDT; of another exchange "
    "than the gateway's default, or where none is the default, write exchange:symbol, for example kraken:ETH/USD",
    "unsupported_channel": "the exchange does not offer this channel",
    "exchange_unavailable": "the gateway cannot reach the exchange; see its log",
    "exchange_error": "the exchange refused; see the gateway's log",
    "too_many_subscriptions": "the gateway has reached its limit of subscriptions",
}
# The one option of a channel that a symbol's `validation_error` can be about: the answer has the code alone.
OPTION_ADVICE: Final = {
    "bars": "the exchange has no such --timeframe; 1s, 1m and 5m are made of trades wherever there are trades",
    "book": "the gateway serves no such --depth; its limit is `book_depth_max` of [limits], 1000 unless set",
}


def watch(
    symbol: str,
    channel: Channel = "quotes",
    *,
    url: str = "ws://127.0.0.1:8765",
    throttle_ms: Annotated[int, Parameter(validator=Number(gte=0))] = 0,
    timeframe: str = "1m",
    depth: Annotated[int, Parameter(validator=Number(gte=1))] = 20,
    count: Annotated[int | None, Parameter(validator=Number(gte=1))] = None,
    json: bool = False,
) -> None:
    """Watch one stream of a running gateway: a live view on a terminal, plain lines elsewhere.

    Parameters
    ----------
    symbol
        [exchange:]SYMBOL as the exchange's list has it, for example BTC/USDT or kraken:ETH/USD.
    channel
        quotes, trades, bars or book.
    url
        The gateway.
    throttle_ms
        At most one update in this many milliseconds.
    timeframe
        Of bars: 1s, 1m, 5m, and what the exchange offers.
    depth
        Levels of a book.
    count
        Stop after this many updates.
    json
        Print each message as it came, one a line.
    """
    options: dict[str, Any] = {"throttle_ms": throttle_ms} if throttle_ms else {}
    options |= {"timeframe": timeframe} if channel == "bars" else {}
    options |= {"depth": depth} if channel == "book" else {}
    is_live = sys.stdout.isatty() and not json
    try:
        client = StreamClient(url, channel, symbol, options)
        view = View(channel, symbol)
        with _quiet():
            loop.run(_live(client, view, count) if is_live else _lines(client, view, count, json))
    except ClientError as error:
        raise CommandError(str(error)) from None


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """No word of the libraries below the client: what went wrong comes as an error, and is told once."""
    loggers = [logging.getLogger(name) for name in LIBRARIES]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def refusal(body: dict[str, Any], symbol: str, channel: str) -> str | None:
    """What to tell the person when a message says that this will not work."""
    if body.get("type") == "error":
        return f"the gateway refused: {body.get('message', body.get('code'))}"
    errors = body.get("data", {}).get("errors") if body.get("type") == "subscribed" else None
    if errors and symbol in errors:
        code = errors[symbol]
        advice = OPTION_ADVICE.get(channel) if code == "validation_error" else ADVICE.get(code)
        return f"{symbol}: {advice or code}"
    return None


def _take(view: View, event: Message | Lost) -> bool:
    """Show an event to the view; whether it was an update. Raises CommandError on a refusal."""
    if isinstance(event, Lost):
        view.lost(event.reason, event.retry_s)
        return False
    if problem := refusal(event.body, view.symbol, view.channel):
        raise CommandError(problem)
    return view.apply(event.body, time.time_ns())


async def _lines(client: StreamClient, view: View, count: int | None, json: bool) -> None:
    async with contextlib.aclosing(client.events()) as events:
        async for event in events:
            is_update = _take(view, event)
            if isinstance(event, Lost):
                print(view.notice, file=sys.stderr)
            elif json:
                print(event.raw.decode(), flush=True)
            elif is_update or event.body.get("type") == "gap":
                print(view.line(event.body), flush=True)
            if count is not None and view.updates >= count:
                return


async def _live(client: StreamClient, view: View, count: int | None) -> None:
    """Messages change the view as they come; the terminal is drawn a few times a second."""
    with Live(view.render(time.time_ns()), console=Console(), auto_refresh=False) as live:

        async def draw() -> None:
            while True:
                live.update(view.render(time.time_ns()), refresh=True)
                await asyncio.sleep(1 / FRAMES_PER_S)

        drawing = asyncio.create_task(draw())
        try:
            async with contextlib.aclosing(client.events()) as events:
                async for event in events:
                    _take(view, event)
                    if count is not None and view.updates >= count:
                        return
        finally:
            drawing.cancel()
            live.update(view.render(time.time_ns()), refresh=True)


assert set(Channel.__args__) == set(CHANNELS)  # type: ignore[attr-defined]  # a Literal's values, for the command line
