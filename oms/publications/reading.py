"""Feeds read in a process of their own: what an answer of somebody else costs is bounded in time and in memory.

feedparser takes minutes for some answers of a few megabytes, and for a part of that nothing else of its process runs.
Holds the limits, and how the two processes talk. Must not know when a feed is asked, nor what becomes of its news.
"""

from __future__ import annotations

import asyncio
import os
import sys
from datetime import datetime
from typing import Final

import msgspec

from oms.publications import entries
from oms.publications.entries import Entry, NotAFeedError, Symbols
from oms.publications.model import News

if sys.platform != "win32":
    import resource

SECONDS_MAX: Final = 20  # of all that a reading takes, most of it to begin; and of the processor's time
MEMORY_BYTES_MAX: Final = 1 << 29
TOGETHER_MAX: Final = 2  # readings at a time: each is a process of 40 MB
NICE: Final = 10  # who trades goes first

_Asked = tuple[bytes, list[str], dict[str, list[str]], datetime]
_Said = tuple[bytes, str, list[str], datetime | None, str | None]  # not as `News`: it is built by us, and not checked


class Readings:
    """Of one process. Needs a running loop."""

    def __init__(self) -> None:
        self._turns = asyncio.Semaphore(TOGETHER_MAX)

    async def read(self, body: bytes, symbols: Symbols, now: datetime) -> list[Entry]:
        """As `entries.read`. Raises NotAFeedError, also for what takes too much."""
        words = {symbol: list(each) for symbol, each in symbols.by_words.items()}
        asked: _Asked = body, list(symbols.always), words, now
        async with self._turns:
            answer = await _apart(msgspec.msgpack.encode(asked))
        return [
            Entry(name, News(headline=headline, symbols=about, timestamp=when, url=url))
            for name, headline, about, when, url in msgspec.msgpack.decode(answer, type=list[_Said])
        ]


async def _apart(asked: bytes) -> bytes:
    # Of our environment it gets where modules are, and no secret.
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", __name__,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
        env={"PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    try:
        async with asyncio.timeout(SECONDS_MAX):
            answer, _ = await process.communicate(asked)
    except TimeoutError:
        raise NotAFeedError("it takes too long to read") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode or not answer:
        raise NotAFeedError("no entry of RSS or Atom can be read")
    return answer


def main() -> None:
    """In the other process: one reading, from standard input to standard output; nothing is said of what is no feed."""
    _limit()
    body, always, words, now = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=_Asked)
    try:
        found = entries.read(body, Symbols(always, words), now)
    except NotAFeedError:
        return
    said: list[_Said] = [(name, news.headline, news.symbols, news.timestamp, news.url) for name, news in found]
    sys.stdout.buffer.write(msgspec.msgpack.encode(said))


def _limit() -> None:
    if sys.platform != "win32":  # which has no such limits; the time it takes is bounded from outside too
        os.nice(NICE)
        resource.setrlimit(resource.RLIMIT_CPU, (SECONDS_MAX, SECONDS_MAX))
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES_MAX, MEMORY_BYTES_MAX))


if __name__ == "__main__":
    main()
