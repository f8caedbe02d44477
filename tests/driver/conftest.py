"""The driver in both kinds, called the same way, and the gateway of the test that it speaks to."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from driver.async_ import OmsCcxtExchange as AsyncExchange
from driver.sync import OmsCcxtExchange as SyncExchange
from tests.driver.stub import KEY, Stub, stub_gateway

FAST = {"delay_ms": 1, "delay_ms_max": 2}


class Client:
    """A client of either kind: `client("fetch_order", "10")` is its answer, whether that is awaited or not."""

    def __init__(self, kind: str, config: dict[str, Any]) -> None:
        self.is_async = kind == "async"
        self._runner = asyncio.Runner()
        self.exchange: Any = (AsyncExchange if self.is_async else SyncExchange)(config)

    def __call__(self, name: str, *arguments: Any, **named: Any) -> Any:
        answer = getattr(self.exchange, name)(*arguments, **named)
        return self._runner.run(answer) if self.is_async else answer

    def close(self) -> None:
        if self.is_async:
            self._runner.run(self.exchange.close())
        else:
            self.exchange.close()
        self._runner.close()


@pytest.fixture(name="stub")
def _stub() -> Iterator[Stub]:
    with stub_gateway() as stub:
        yield stub


@pytest.fixture(name="config")
def _config(stub: Stub) -> dict[str, Any]:
    """What a user writes, but for retries that do not wait."""
    options = {"account_id": 1, "base_url": stub.url, "retries": dict(FAST)}
    return {"apiKey": KEY, "enableRateLimit": False, "options": options}


@pytest.fixture(name="client", params=["sync", "async"])
def _client(request: pytest.FixtureRequest, config: dict[str, Any]) -> Iterator[Client]:
    client = Client(request.param, config)
    yield client
    client.close()
