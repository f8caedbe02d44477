"""Feeds read from a real HTTP server: what changed is told once, and what fails is asked less often."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from oms.publications import feeds
from oms.publications.entries import Entry, Symbols, read
from oms.publications.feeds import Feed, FeedConfig
from oms.publications.model import Publication
from oms.publications.service import Publications
from oms.store.pool import Pool
from tests.oms.publications.test_entries import ATOM, RSS
from tests.waiting import until


class Server:
    """A site with one feed, which answers as it is told."""

    def __init__(self) -> None:
        self.body = RSS.encode()
        self.status = 200
        self.headers: dict[str, str] = {}
        self.asked: list[dict[str, str]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.url = ""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(dict(request.headers))
        await self.gate.wait()
        if request.path == "/moved":
            raise web.HTTPFound("/feed?key=secret")
        if request.headers.get("If-None-Match") == self.headers.get("ETag", "none"):
            return web.Response(status=304)
        return web.Response(body=self.body, status=self.status, headers=self.headers)


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    made = Server()
    app = web.Application()
    app.router.add_get("/{name}", made.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}/feed?key=secret"
    yield made
    await runner.cleanup()


async def read_here(body: bytes, symbols: Symbols, now: datetime) -> list[Entry]:
    """In this process: to begin another one takes half a second."""
    return read(body, symbols, now)


class Reader:
    """A feed, and what was told of it."""

    def __init__(self, pool: Pool, url: str, client: aiohttp.ClientSession) -> None:
        publications = Publications(pool)
        self.rows: list[Publication] = []
        publications.listen(self.rows.append)
        config = FeedConfig(name="wire", url=url, interval_s=60, symbols=Symbols(["ALL"]))
        self.feed = Feed(config, publications, read_here)
        self._client = client

    async def poll(self) -> float:
        return await self.feed.poll(self._client, lambda low, high: (low + high) / 2)


@pytest.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(auto_decompress=False) as made:
        yield made


async def test_what_is_new_is_told_once_also_after_a_restart(
    pool: Pool, server: Server, client: aiohttp.ClientSession
) -> None:
    reader = Reader(pool, server.url, client)
    assert await reader.poll() == 60
    assert [row.source for row in reader.rows] == ["wire"] * 3
    assert b'"symbols":["ALL"],"sentiment":null,"timestamp":"2026-11-21T09:00:00.000Z"' in reader.rows[1].data
    server.body = RSS.replace("g2", "g4").encode()
    await reader.poll()
    assert len(reader.rows) == 4
    again = Reader(pool, server.url, client)
    await again.poll()
    assert again.rows == []
    server.body = ATOM.encode()
    await again.poll()
    assert len(again.rows) == 1


async def test_it_is_asked_whether_it_has_changed(pool: Pool, server: Server, client: aiohttp.ClientSession) -> None:
    server.headers = {"ETag": '"1"', "Last-Modified": "Sat, 21 Nov 2026 08:00:00 GMT"}
    reader = Reader(pool, server.url, client)
    assert [await reader.poll() for _ in range(2)] == [60, 60]
    first, second = server.asked
    assert "If-None-Match" not in first
    assert (second["If-None-Match"], second["If-Modified-Since"]) == ('"1"', "Sat, 21 Nov 2026 08:00:00 GMT")
    assert first["Accept-Encoding"] == "identity"
    assert len(reader.rows) == 3


async def test_what_could_not_be_kept_is_asked_for_again(
    pool: Pool, server: Server, client: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def lost(*_: Any) -> int:
        raise ConnectionError

    server.headers = {"ETag": '"1"'}
    reader = Reader(pool, server.url, client)
    with monkeypatch.context() as broken:
        broken.setattr(Publications, "add_entries", lost)
        assert await reader.poll() == 120
    assert await reader.poll() == 60
    assert len(reader.rows) == 3


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"status": 404}, "HTTP 404"),
        ({"body": b"<html>"}, "no entry of RSS or Atom"),
        ({"headers": {"Content-Encoding": "gzip"}}, "compressed"),
        ({"body": b"x" * (feeds.BODY_BYTES_MAX + 1)}, "longer than"),
    ],
)
async def test_what_fails_is_asked_less_often_and_said_once_without_the_address(
    pool: Pool, server: Server, client: aiohttp.ClientSession, capsys: Any, changes: dict[str, Any], said: str
) -> None:
    reader = Reader(pool, server.url, client)
    right = {name: getattr(server, name) for name in changes}
    for name, value in changes.items():
        setattr(server, name, value)
    assert [await reader.poll() for _ in range(8)] == [120, 240, 480, 960, 1920, 3600, 3600, 3600]
    told = capsys.readouterr().out
    assert said in told
    assert "secret" not in told
    for name, value in right.items():
        setattr(server, name, value)
    assert await reader.poll() == 60
    assert len(reader.rows) == 3


async def test_a_server_that_says_when_to_come_back_is_left_in_peace(
    pool: Pool, server: Server, client: aiohttp.ClientSession
) -> None:
    server.status, server.headers = 429, {"Retry-After": "900"}
    reader = Reader(pool, server.url, client)
    assert await reader.poll() == 900
    server.headers = {"Retry-After": "9999999"}
    assert await reader.poll() == feeds.PAUSE_MAX_S
    server.headers = {"Retry-After": "Sat, 21 Nov 2026 08:00:00 GMT"}
    assert await reader.poll() == 480


async def test_a_redirect_is_followed_and_nobody_there_is_a_failure(
    pool: Pool, server: Server, client: aiohttp.ClientSession
) -> None:
    reader = Reader(pool, server.url.replace("/feed", "/moved"), client)
    assert await reader.poll() == 60
    assert len(reader.rows) == 3
    nobody = Reader(pool, "http://127.0.0.1:9/feed", client)
    assert await nobody.poll() == 120


async def test_feeds_are_read_until_the_end(pool: Pool, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    publications = Publications(pool)
    rows: list[Publication] = []
    publications.listen(rows.append)
    config = FeedConfig(name="wire", url=server.url, interval_s=0.01)
    reading = asyncio.create_task(feeds.keep([config, config], publications))
    await until(lambda: len(server.asked) > 3)
    assert len(rows) == 3
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    await feeds.keep([], publications)
    assert "secret" not in repr(config)


async def test_an_answer_that_does_not_come_is_a_failure(pool: Pool, server: Server) -> None:
    server.gate.clear()
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=0.05)) as client:
        assert await Reader(pool, server.url, client).poll() == 120
    server.gate.set()
