"""Feeds that are read for news: each again and again, asked whether it has changed, and what is new of it published.

Holds when a feed is asked, how much of an answer is taken, and what becomes of a failure. Must not know what an answer
says (`entries`), nor what was published before (`service`). Its address may hold a secret and is told to nobody.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Final

import aiohttp
import msgspec
import structlog

from oms.publications import model
from oms.publications.entries import Entry, NotAFeedError, Symbols
from oms.publications.reading import Readings
from oms.publications.service import Publications
from oms.store.pool import FAILURES

log = structlog.get_logger(__name__)

BODY_BYTES_MAX: Final = 4_194_304  # the largest feeds are a tenth of it
TIMEOUT_S: Final = 20.0
REDIRECTS_MAX: Final = 5
PAUSE_MAX_S: Final = 3_600.0  # between two tries of a feed that fails, unless it is read less often anyway
NOT_MODIFIED: Final = 304
CHUNK_BYTES: Final = 65_536
# What we could not bound is not asked for: a small answer may be large once it is inflated.
HEADERS: Final = {
    "User-Agent": "tickwire",
    "Accept": "application/rss+xml, application/atom+xml, application/xml;q=0.9, */*;q=0.1",
    "Accept-Encoding": "identity",
}

Read = Callable[[bytes, Symbols, datetime], Awaitable[Sequence[Entry]]]


class FeedConfig(msgspec.Struct, frozen=True, kw_only=True):
    """One feed; `name` is the source of its news."""

    name: str
    url: str
    interval_s: float
    symbols: Symbols = Symbols()

    def __repr__(self) -> str:
        return f"FeedConfig({self.name!r}, ..)"


class FeedError(Exception):
    """A feed did not answer as it should; the message says how, without its address."""

    def __init__(self, message: str, retry_after_s: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Feed:
    """One feed, and what it said last."""

    def __init__(self, config: FeedConfig, publications: Publications, read: Read) -> None:
        """`read`: as `Readings.read`."""
        self.name = config.name
        self._config = config
        self._publications = publications
        self._read = read
        self._known: dict[str, str] = {}  # what makes the next question one for changes
        self._failures = 0

    async def keep(self, client: aiohttp.ClientSession) -> None:
        """Until cancelled."""
        while True:
            pause_s = await self.poll(client)
            await asyncio.sleep(pause_s)

    async def poll(
        self, client: aiohttp.ClientSession, uniform: Callable[[float, float], float] = random.uniform
    ) -> float:
        """Ask once, and publish what is new; returns how long to wait before the next time, in seconds."""
        interval_s = self._config.interval_s
        retry_after_s = 0.0
        try:
            count = await self._ask(client)
        except (FeedError, NotAFeedError, aiohttp.ClientError, TimeoutError, ValueError, *FAILURES) as error:
            told = str(error) if isinstance(error, FeedError | NotAFeedError) else type(error).__name__
            retry_after_s = error.retry_after_s if isinstance(error, FeedError) else 0.0
            (log.debug if self._failures else log.warning)("feed not read", feed=self.name, error=told)
            self._failures += 1
        except Exception:  # a feed that we cannot deal with must not end the others, nor itself
            log.exception("feed not read", feed=self.name)
            self._failures += 1
        else:
            if self._failures:
                log.info("feed read again", feed=self.name)
            self._failures = 0
            if count:
                log.debug("news of a feed", feed=self.name, count=count)
        longest_s = max(interval_s, PAUSE_MAX_S)
        pause_s = min(interval_s * 2.0 ** min(self._failures, 30), longest_s)
        return max(pause_s * uniform(0.9, 1.1), min(retry_after_s, PAUSE_MAX_S))

    async def _ask(self, client: aiohttp.ClientSession) -> int:
        async with client.get(
            self._config.url, headers={**HEADERS, **self._known}, max_redirects=REDIRECTS_MAX
        ) as answer:
            if answer.status == NOT_MODIFIED and self._known:
                return 0
            if answer.status != 200:
                raise FeedError(f"HTTP {answer.status}", _retry_after_s(answer.headers.get("Retry-After", "")))
            if answer.headers.get("Content-Encoding", "identity").lower() != "identity":
                raise FeedError("it is compressed, which was not asked for")
            body = await _body(answer)
            etag, modified = answer.headers.get("ETag"), answer.headers.get("Last-Modified")
        publications = self._publications
        now_ns = publications.now_ns()
        now = datetime.fromtimestamp(now_ns // 1_000_000_000, UTC)
        found = await self._read(body, self._config.symbols, now)
        listed = [(entry.name, model.made(entry.news, self.name, now_ns)) for entry in found]
        count = await publications.add_entries(self.name, listed)
        marks = {"If-None-Match": etag, "If-Modified-Since": modified}
        self._known = {name: mark for name, mark in marks.items() if mark}  # only now: what was lost is asked for again
        return count


async def _body(answer: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for chunk in answer.content.iter_chunked(CHUNK_BYTES):
        body += chunk
        if len(body) > BODY_BYTES_MAX:
            raise FeedError(f"it is longer than {BODY_BYTES_MAX} bytes")
    return bytes(body)


def _retry_after_s(text: str) -> float:
    """RFC 9110, section 10.2.3, as far as it is a number of seconds."""
    return float(text) if text.isascii() and text.isdigit() and len(text) < 8 else 0.0


async def keep(configured: Sequence[FeedConfig], publications: Publications) -> None:
    """Read all feeds, until cancelled."""
    if not configured:
        return
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
    read = Readings().read
    async with (
        aiohttp.ClientSession(timeout=timeout, auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar()) as client,
        asyncio.TaskGroup() as group,
    ):
        for config in configured:
            group.create_task(Feed(config, publications, read).keep(client), name=f"feed {config.name}")
