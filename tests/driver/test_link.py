"""The one connection: dialled again at once and then with jitter, never twice at a time, and given up when refused."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from driver import link as module
from driver.link import Link, LinkError
from tests.driver.stream_server import StreamServer, stream_server
from tests.waiting import until


class Owner:
    """Whose connection it is."""

    def __init__(self) -> None:
        self.opened = 0
        self.dropped = 0
        self.texts: list[str | bytes] = []
        self.failures: list[LinkError] = []
        self.down_ms: list[float] = []
        self.breaks: Exception | None = None

    def on_open(self) -> None:
        self.opened += 1

    def on_text(self, text: str | bytes) -> None:
        self.texts.append(text)
        if self.breaks is not None:
            raise self.breaks

    def on_drop(self) -> None:
        self.dropped += 1

    def on_failure(self, error: LinkError, down_ms: float) -> None:
        self.failures.append(error)
        self.down_ms.append(down_ms)


class Linked:
    """A link, its owner and the server."""

    def __init__(self, server: StreamServer, http: aiohttp.ClientSession) -> None:
        self.server = server
        self.owner = Owner()
        self.dialling = 0
        self.dialling_most = 0
        self._http = http
        self.link = self.make()

    def make(self, silence_ms: float = 60_000) -> Link:
        return Link(self._dial, self.owner, timeout_ms=2_000, silence_ms=silence_ms)

    async def _dial(self) -> Any:
        self.dialling += 1
        self.dialling_most = max(self.dialling_most, self.dialling)
        try:
            return await self._http.ws_connect(f"{self.server.url}/v1/stream")
        finally:
            self.dialling -= 1

    async def until_opened(self, count: int) -> None:
        await until(lambda: self.owner.opened == count)

    async def start(self) -> None:
        self.link.start()
        await until(lambda: len(self.owner.texts) == 1)


@pytest.fixture(name="linked")
async def _linked() -> AsyncIterator[Linked]:
    async with stream_server() as server, aiohttp.ClientSession() as http:
        linked = Linked(server, http)
        yield linked
        await linked.link.close()


async def test_texts_go_in_and_out(linked: Linked) -> None:
    linked.link.send("lost: nobody is there")
    await linked.start()
    assert linked.link.is_open
    linked.link.send('{"action":"list"}')
    assert await linked.server.until_asked("list")
    linked.link.start()
    assert linked.server.dials == 1


async def test_after_a_drop_it_is_there_again_at_once(linked: Linked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STEADY_MS", 0)
    monkeypatch.setattr(module, "DELAY_MS", 100_000)  # who waited at all would wait too long
    monkeypatch.setattr(module, "DELAY_MS_MAX", 100_000)
    await linked.start()
    for count in range(2, 5):
        await linked.server.drop()
        await linked.until_opened(count)
    assert linked.owner.dropped == 3
    assert not linked.owner.failures


@pytest.mark.timed
async def test_a_server_that_comes_back_is_found_within_a_second(linked: Linked) -> None:
    linked.server.status = 503
    linked.link.start()
    await until(lambda: len(linked.owner.failures) >= 6)
    assert linked.dialling_most == 1
    assert linked.owner.down_ms == sorted(linked.owner.down_ms)
    linked.server.status = 101
    began = time.monotonic()
    await until(lambda: linked.owner.opened == 1)
    assert time.monotonic() - began < 1


async def test_a_connection_that_breaks_at_once_is_not_dialled_without_a_pause(linked: Linked) -> None:
    linked.owner.breaks = ValueError("not understood")
    linked.link.start()
    await until(lambda: linked.owner.opened >= 4)
    assert "not understood" in str(linked.owner.failures[0])
    assert linked.server.dials <= linked.owner.opened + 1


@pytest.mark.parametrize(("status", "code"), [(401, "invalid_api_key"), (403, "permission_denied")])
async def test_who_is_refused_does_not_try_again(linked: Linked, status: int, code: str) -> None:
    linked.server.status = status
    linked.link.start()
    await until(lambda: not linked.link.is_running)
    assert [failure.code for failure in linked.owner.failures] == [code]
    assert linked.server.dials == 1
    linked.server.status = 101
    await linked.start()


@pytest.mark.parametrize(("close", "code"), [(1008, "invalid_api_key"), (4401, "token_expired")])
async def test_who_is_put_out_does_not_come_back(linked: Linked, close: int, code: str) -> None:
    await linked.start()
    await linked.server.sockets[0].close(code=close)
    await until(lambda: not linked.link.is_running)
    assert [failure.code for failure in linked.owner.failures] == [code]


async def test_who_was_too_fast_comes_back_later(linked: Linked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REFUSED_MS_MAX", 120)
    await linked.start()
    began = time.monotonic()
    await linked.server.sockets[0].close(code=4029)
    await until(lambda: linked.owner.opened == 2)
    assert time.monotonic() - began >= 0.12


async def test_the_gateway_may_say_when_to_come_back(linked: Linked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STEADY_MS", 0)
    await linked.start()
    linked.link.wait_ms = 150
    began = time.monotonic()
    await linked.server.drop()
    await until(lambda: linked.owner.opened == 2)
    assert time.monotonic() - began >= 0.15


async def test_a_peer_that_went_without_a_word_is_noticed(linked: Linked) -> None:
    linked.link = linked.make(silence_ms=200)
    linked.server.is_silent = True
    linked.link.start()
    await until(lambda: linked.owner.dropped >= 1)
    linked.server.is_silent = False
    await until(lambda: bool(linked.owner.texts))


async def test_a_peer_that_answers_is_kept(linked: Linked) -> None:
    linked.link = linked.make(silence_ms=100)
    await linked.start()
    await linked.server.until_asked("ping", 5)
    assert linked.owner.dropped == 0


async def test_closing_ends_it_and_it_may_begin_again(linked: Linked) -> None:
    await linked.start()
    await linked.link.close()
    await until(lambda: not linked.server.sockets)
    assert (linked.link.is_open, linked.link.is_running, linked.owner.dropped) == (False, False, 1)
    linked.link.start()
    await until(lambda: linked.owner.opened == 2)


async def test_closing_while_dialling_leaves_nothing(linked: Linked) -> None:
    linked.server.status = 503
    linked.link.start()
    await asyncio.sleep(0)
    await linked.link.close()
    assert not linked.link.is_running
    await linked.link.close()
