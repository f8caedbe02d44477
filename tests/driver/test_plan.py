"""Plans become methods of the class that carries them out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from ccxt.base.errors import ExchangeClosedByUser, RequestTimeout

from driver.plan import Ask, Plan, give_methods, unified
from tests.driver.conftest import Client
from tests.driver.stub import Answer, Stub, order, result, results


class Mixin:
    @unified
    def fetch_thing(self, number: int) -> Plan[int]:
        return int((yield Ask("things", "GET", {"number": number})))

    def helper(self) -> Plan[int]:
        return (yield from self.fetch_thing(1))  # type: ignore[no-any-return]  # a marked plan is of any type


class Kind(Mixin):
    """Carries plans out by answering 42."""


def _carried(plan: Callable[..., Plan[Any]]) -> Callable[..., Any]:
    def method(self: Kind, *arguments: Any) -> Any:
        steps = plan(self, *arguments)
        asked = next(steps)
        try:
            steps.send(42)
        except StopIteration as ended:
            return asked, ended.value
        raise AssertionError("it asked twice")

    return method


def test_what_is_marked_is_a_method_and_what_is_not_stays_a_plan() -> None:
    give_methods(Kind, _carried)
    kind: Any = Kind()
    assert kind.fetch_thing(7) == (Ask("things", "GET", {"number": 7}), 42)
    assert "fetch_thing" in vars(Kind)
    assert "helper" not in vars(Kind)
    assert vars(Mixin)["fetch_thing"] is not vars(Kind)["fetch_thing"]


@pytest.mark.parametrize(
    ("method", "arguments", "line", "error"),
    [
        ("fetch_time", (), "POST /ccxt/1/fetch_time", ExchangeClosedByUser),
        ("create_order", ("BTC/USDT", "market", "buy", 1), "POST /oms/commands", RequestTimeout),  # it may have arrived
    ],
)
def test_what_waits_to_be_tried_again_does_not_open_what_was_closed(
    client: Client, stub: Stub, method: str, arguments: tuple[Any, ...], line: str, error: type[Exception]
) -> None:
    client("load_markets")
    stub.on(line, Answer(503, "busy"))
    slept = client.exchange.sleep

    def close_and_sleep(time_ms: float) -> Any:
        client.exchange.sleep = slept
        closing = client.exchange.close()
        if not client.is_async:
            return slept(time_ms)

        async def both() -> None:
            await closing
            await slept(time_ms)

        return both()

    client.exchange.sleep = close_and_sleep
    with pytest.raises(error) as raised:
        client(method, *arguments)
    assert len(stub.asked(line)) == 1
    assert not client.is_async or client.exchange.session is None
    assert error is not RequestTimeout or "clientOrderId" in str(raised.value)
    stub.on(line, results(result(order=order())) if error is RequestTimeout else {"result": 7})
    # Of those that are awaited a newer ccxt has its own opened first.
    assert client.is_async or client(method, *arguments)
