"""The command line of the simulated exchange: `python -m loadtest.exchange`."""

import argparse
import asyncio
import math
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import uvloop

from loadtest.exchange.feed import Feed
from loadtest.exchange.recording import RecordingError, load
from loadtest.exchange.replay import ReplayFeed, StartOn
from loadtest.exchange.server import ExchangeServer
from loadtest.exchange.streams import Streams
from loadtest.exchange.synthetic import SyntheticFeed

Number = TypeVar("Number", int, float)


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="exchange", description="A simulated Binance-spot-compatible exchange.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=_port, default=0, help="0, the default, takes any free one")
    feed = parser.add_mutually_exclusive_group()
    feed.add_argument("--synthetic", action="store_true", help="a seeded market (the default)")
    feed.add_argument("--replay", nargs="+", type=Path, metavar="FILE", help="recorded Binance spot messages")
    parser.add_argument("--speed", type=_speed, default=1.0, metavar="1|10|max", help="replay: pace (default 1)")
    parser.add_argument(
        "--start-on",
        type=StartOn,
        choices=list(StartOn),
        default=StartOn.SUBSCRIBE,
        help="replay: begin now, at the first subscription (default), or at POST /admin/start",
    )
    parser.add_argument("--loop", action="store_true", help="replay: begin anew at the end, cutting connections")
    parser.add_argument("--symbols", type=_count, default=10, metavar="N", help="synthetic: how many markets")
    parser.add_argument("--rate", type=_rate, default=20.0, metavar="R", help="synthetic: arrivals a second a market")
    parser.add_argument("--seed", type=int, default=1, metavar="S", help="synthetic: the same seed, the same market")
    parser.add_argument("--age-s", type=_age, default=0.0, metavar="T", help="synthetic: how long ago markets opened")
    return parser.parse_args(argv)


def _number(read: Callable[[str], Number], is_right: Callable[[Number], bool], wanted: str) -> Callable[[str], Number]:
    """What reads an argument and refuses it with what would be right."""

    def parse(text: str) -> Number:
        try:
            value = read(text)
        except ValueError:
            value = None
        if value is None or not is_right(value):
            raise argparse.ArgumentTypeError(f"{text!r} is not {wanted}")
        return value

    return parse


_port = _number(int, lambda port: 0 <= port <= 65_535, "a port: 0 to 65535")
_count = _number(int, lambda count: count >= 1, "a whole number of at least 1")
_positive = _number(float, lambda number: 0 < number < math.inf, "a number above 0")
_age = _number(float, lambda age_s: 0 <= age_s < math.inf, "a number of seconds, at least 0")
_rate = _number(float, lambda rate: 0 <= rate < math.inf, "a number of at least 0 (0: markets move on command only)")


def _speed(text: str) -> float | None:
    """None for max."""
    return None if text == "max" else _positive(text)


def _feed_maker(arguments: argparse.Namespace) -> Callable[[Streams], Feed]:
    if arguments.replay:
        recording = load(arguments.replay)
        return lambda streams: ReplayFeed(streams, recording, arguments.speed, arguments.start_on, again=arguments.loop)
    age_ms = round(arguments.age_s * 1000)
    return lambda streams: SyntheticFeed(streams, arguments.symbols, arguments.rate, arguments.seed, age_ms=age_ms)


async def _tell_the_end(feed: Feed) -> None:
    await feed.finished()
    sys.stdout.write("the recording has ended and its market stands still; --loop would begin it anew\n")
    sys.stdout.flush()


async def _serve(arguments: argparse.Namespace) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with ExchangeServer(_feed_maker(arguments), arguments.host, arguments.port) as server:
        sys.stdout.write(f"exchange listening on {server.base_url}\n")
        sys.stdout.flush()
        failure = asyncio.ensure_future(server.failed())
        stopped = asyncio.ensure_future(stop.wait())
        telling = asyncio.ensure_future(_tell_the_end(server.feed)) if arguments.replay and not arguments.loop else None
        await asyncio.wait((failure, stopped), return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if telling is not None:
            telling.cancel()
        if failure.done():
            failure.result()
        failure.cancel()


def main(argv: Sequence[str] | None = None) -> int:
    arguments = _arguments(argv)
    try:
        uvloop.run(_serve(arguments))
    except RecordingError as error:
        sys.stderr.write(f"exchange: {error}\n")
        return 1
    except OSError as error:
        sys.stderr.write(f"exchange: cannot listen on {arguments.host}:{arguments.port}: {error.strerror}\n")
        return 1
    return 0
