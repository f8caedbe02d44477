"""When a private stream is said to begin and to end; on a real connection in `test_ccxt`."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from ccxt.base.errors import AuthenticationError, NetworkError

from oms.venues import stream
from oms.venues.stream import PrivateStream


class Exchange:
    """Watches until it is told to fail."""

    def __init__(self) -> None:
        self.opened = asyncio.Event()
        self.hung_up = 0
        self.failing: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    async def watch_orders(self) -> None:
        self.opened.set()
        await asyncio.shield(self.failing)

    async def watch_my_trades(self) -> None:
        await asyncio.Event().wait()

    def hang_up(self) -> None:
        self.hung_up += 1

    def fail(self, error: BaseException | None = None) -> None:
        failing, self.failing = self.failing, asyncio.get_running_loop().create_future()
        if error is None:
            failing.cancel()
        else:
            failing.set_exception(error)


class Told:
    def __init__(self) -> None:
        self.said: list[bool] = []
        self._event = asyncio.Event()

    def __call__(self, connected: bool) -> None:
        self.said.append(connected)
        self._event.set()

    async def until(self, *said: bool) -> None:
        async with asyncio.timeout(10):
            while self.said != list(said):
                self._event.clear()
                await self._event.wait()


def made(exchange: Exchange, told: Told, failures: list[Exception]) -> PrivateStream:
    async def begin() -> None:
        exchange.opened.clear()
        if failures:
            raise failures.pop(0)

    return PrivateStream(exchange, begin, told, str)


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "DELAY_S", 0.001)


async def test_it_begins_and_ends() -> None:
    exchange, told = Exchange(), Told()
    private = made(exchange, told, [])
    await private.start()
    assert told.said == [True]
    await private.close()
    assert told.said == [True, False]
    assert exchange.hung_up == 1


@pytest.mark.parametrize("error", [NetworkError("cut"), None])
async def test_it_begins_again(error: Exception | None) -> None:
    exchange, told = Exchange(), Told()
    private = made(exchange, told, [])
    await private.start()
    exchange.fail(error)
    await told.until(True, False, True)
    await private.close()


async def test_a_first_failure_is_told_to_who_starts_it() -> None:
    exchange, told = Exchange(), Told()
    private = made(exchange, told, [AuthenticationError("who are you")])
    with pytest.raises(AuthenticationError):
        await private.start()
    assert told.said == []
    await private.start()
    assert told.said == [True]
    await private.close()


async def test_later_failures_are_tried_again_until_one_is_none() -> None:
    exchange, told = Exchange(), Told()
    failures: list[Exception] = []
    private = made(exchange, told, failures)
    await private.start()
    failures += [NetworkError("no"), AuthenticationError("no"), ValueError("what")]
    exchange.fail(NetworkError("cut"))
    await told.until(True, False, True)
    assert exchange.hung_up == 4
    await private.close()


async def test_what_does_not_open_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "OPEN_S", 0.05)
    exchange, told = Exchange(), Told()
    monkeypatch.setattr(exchange, "watch_orders", exchange.watch_my_trades)
    private = made(exchange, told, [])
    with pytest.raises(NetworkError, match="not open within"):
        await private.start()
    assert told.said == []


async def test_a_watch_that_fails_before_it_is_open(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail() -> None:
        raise AuthenticationError("no")

    exchange, told = Exchange(), Told()
    monkeypatch.setattr(exchange, "watch_orders", fail)
    with pytest.raises(AuthenticationError):
        await made(exchange, told, []).start()
    assert told.said == []


async def test_closing_twice_and_what_never_began() -> None:
    private = made(Exchange(), Told(), [])
    await private.close()
    await private.start()
    await private.close()
    await private.close()
