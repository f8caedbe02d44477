"""Every credential at every door, right and wrong, with the log at its loudest: none is in it, nor in an answer."""

from __future__ import annotations

import asyncio
import io
import json
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import httpx
import pytest
import structlog
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from gateway.app import App
from gateway.config import AuthConfig, Config, ServerConfig
from gateway.log import configure
from tests.gateway.net.raw import HANDSHAKE, RawClient
from tests.gateway.users import Users
from tests.leaks import leaked

GARBLED = "hunter2-is-no-key"  # of no shape that could be known: only its place says that it is one


@contextmanager
def written(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """All that is logged meanwhile, and nowhere else: what tests see besides is not masked."""
    root = logging.getLogger()
    before = (root.handlers[:], root.level)
    stream = io.StringIO()
    configure_ = structlog.configure

    def uncached(**settings: object) -> None:
        """A logger that keeps its configuration would keep it in the tests that come after."""
        configure_(**{**settings, "cache_logger_on_first_use": False})  # type: ignore[arg-type]  # as they came

    monkeypatch.setattr(structlog, "configure", uncached)
    configure(level="debug", layout="json", stream=stream)
    try:
        yield stream
    finally:
        root.handlers[:] = before[0]
        root.setLevel(before[1])
        structlog.reset_defaults()


@pytest.fixture
async def users() -> Users:
    users = Users()
    users.add("ann")
    return users


@pytest.fixture
async def app(users: Users) -> AsyncIterator[App]:
    app = App(Config(server=ServerConfig(port=0), exchanges={}, auth=AuthConfig()), authenticator=users.auth)
    await app.start()
    yield app
    RawClient.drop_all()
    await app.close()


async def tell(url: str, message: str, **options: object) -> str:
    """What is said to this, in a handshake or on the connection, or on its close."""
    try:
        async with connect(url, **options) as client:  # type: ignore[arg-type]  # a table of several types
            await client.recv()
            await client.send(message)
            await client.send('{"action":"ping"}')
            told = ""
            try:
                while "pong" not in told:
                    told += str(await client.recv())
            except ConnectionClosed as closed:
                told += str(closed)
            return told
    except InvalidStatus as refused:
        return f"{refused.response.headers} {refused.response.body!r}"


@pytest.mark.parametrize("kind", ["key", "token", "expired", "forged", "garbled"])
async def test_no_credential_is_logged_or_answered(
    app: App, users: Users, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    key, token = users.texts["ann"], users.token("ann")
    secret = {
        "key": key, "token": token, "expired": users.old_token("ann"), "forged": token[:-4] + "AAAA",
        "garbled": GARBLED,
    }[kind]  # fmt: skip
    with written(monkeypatch) as log:
        answers = await shown_everywhere(f"127.0.0.1:{app.port}", secret)
    for text in (log.getvalue(), *answers):
        assert secret not in text
        assert leaked(text) == []
    assert "credentials refused" in log.getvalue(), "what is scanned is the log"


async def shown_everywhere(base: str, secret: str) -> list[str]:
    """A credential wherever one can be, and where none should; all that is answered."""
    stream = f"ws://{base}/v1/stream"
    auth = json.dumps({"action": "auth", "token": secret})
    answers = [
        await tell(f"{stream}?token={secret}", "{}"),
        await tell(stream, "{}", additional_headers={"x-api-key": secret}),
        await tell(stream, "{}", additional_headers={"Authorization": f"Bearer {secret}"}),
        await tell(stream, "{}", subprotocols=["tickwire.stream", f"bearer.{secret}"]),
        await tell(stream, auth),
        await tell(stream, auth.replace("auth", "auht")),
        await tell(stream, auth + "}"),
        await tell(f"ws://{base}/nowhere?token={secret}", "{}"),
    ]
    async with httpx.AsyncClient() as client:
        for headers in ({"x-api-key": secret}, {"Authorization": f"Bearer {secret}"}, {"cookie": f"token={secret}"}):
            for path in (f"/nowhere?token={secret}", "/api/ws/status", "/oms/accounts"):
                response = await client.get(f"http://{base}{path}", headers=headers)
                answers.append(f"{response.headers} {response.text}")
    for raw in (
        HANDSHAKE.replace(b"/v1/stream", f"/v1/stream?token={secret}".encode()).replace(b"Version: 13", b"Version: 12"),
        HANDSHAKE.replace(b"GET /v1/stream HTTP/1.1", f"GET /v1/stream?token={secret} HTTP/9.9".encode()),
        HANDSHAKE + b"x-api-key : " + secret.encode() + b"\r\n\x00broken",
    ):
        client_ = await RawClient.connect(int(base.rpartition(":")[2]))
        client_.send(raw + b"\r\n\r\n")
        answers.append((await client_.rest()).decode("latin-1"))
    logging.getLogger("asyncio").error("lost", exc_info=ValueError(f"GET /v1/stream?token={secret}"))
    await asyncio.sleep(0)
    return answers
