"""What the configuration says of the port's doors is what they do, and the clock that all of them live by."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from gateway.app import App
from gateway.config import Config, ServerConfig
from gateway.limits import Limits
from tests import certificates
from tests.waiting import until


@asynccontextmanager
async def serving(limits: Limits = Limits(), **server: Any) -> AsyncIterator[App]:  # noqa: B008  # immutable
    app = App(Config(server=ServerConfig(port=0, **server), limits=limits))
    await app.start()
    try:
        yield app
    finally:
        await app.close()


async def status(app: App, **headers: str) -> int:
    """What a handshake with these headers is answered with; who is let in stays."""
    try:
        client = await connect(f"ws://127.0.0.1:{app.port}/v1/stream", additional_headers=headers)
    except InvalidStatus as refused:
        return refused.response.status_code
    assert json.loads(await client.recv())["type"] == "connected"
    return 101


async def test_sites_are_those_that_are_configured() -> None:
    async with serving(origins=["https://desk.example"]) as app:
        assert await status(app, Origin="https://desk.example") == 101
        assert await status(app, Origin="https://other.example") == 403


@pytest.mark.parametrize(("proxies", "told"), [(["127.0.0.1"], [101, 101, 429]), ([], [101, 429, 429])])
async def test_proxies_are_those_that_are_configured(proxies: list[str], told: list[int]) -> None:
    async with serving(Limits(connections_per_ip_max=1), trusted_proxies=proxies) as app:
        addresses = ("198.51.100.7", "198.51.100.8", "198.51.100.7")
        assert [await status(app, **{"X-Forwarded-For": each}) for each in addresses] == told


async def test_a_proxy_header_is_asked_for_where_that_is_configured() -> None:
    async with serving(trusted_proxies=["127.0.0.1"], proxy_protocol=True) as app:
        reader, writer = await asyncio.open_connection("127.0.0.1", app.port)
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert await asyncio.wait_for(reader.read(), 5) == b"", "whoever does not send it is dropped"
        writer.close()


async def test_who_is_silent_and_what_ends_is_looked_for_by_the_clock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = certificates.issue(tmp_path)
    monkeypatch.setattr("gateway.app.SAMPLE_S", 0.001)
    looked: set[str] = set()
    monkeypatch.setattr("gateway.net.account.AccountService.tick", lambda _: looked.add("accounts"))
    monkeypatch.setattr("gateway.net.certificate.Certificate.remind", lambda *_: looked.add("certificate"))
    async with serving(tls_certificate=str(files.certificate), tls_key=str(files.key)):
        assert looked == {"accounts", "certificate"}


async def test_a_second_that_fails_is_not_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.app.SAMPLE_S", 0.001)
    app = App(Config())
    seen: list[float] = []

    def sample(now_s: float) -> None:
        seen.append(now_s)
        if len(seen) == 1:
            raise RuntimeError("as asked")

    monkeypatch.setattr(app.stats, "sample", sample)
    app._sample()
    await until(lambda: len(seen) > 1)
    await app.close()


async def test_what_fails_in_a_second_keeps_nothing_else_from_being_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.app.METRICS_EVERY", 1)
    app = App(Config())
    seen: list[str] = []

    def part(name: str) -> Callable[..., None]:
        def fail(*_: object) -> None:
            seen.append(name)
            raise RuntimeError("as asked")

        return fail

    monkeypatch.setattr(app, "guards", SimpleNamespace(tick=part("guards")))
    monkeypatch.setattr(app.stats, "sample", part("stats"))
    monkeypatch.setattr(app, "certificate", SimpleNamespace(remind=part("certificate")))
    monkeypatch.setattr(app.watching, "tick", part("watching"))
    monkeypatch.setattr(app.sessions, "record", SimpleNamespace(tick=part("record")))
    monkeypatch.setattr(app.streams, "register", SimpleNamespace(measured=part("metrics")))
    app._sample()
    monkeypatch.undo()
    await app.close()
    assert seen == ["guards", "stats", "certificate", "watching", "record", "metrics"]
