"""A plan whose commands go over the socket is otherwise the same plan."""

from __future__ import annotations

from typing import Any

import pytest
from ccxt.base.errors import RequestTimeout

from driver.by_socket import OrdersBySocket, by_socket
from driver.orders import Orders
from driver.plan import Ask, Call, Plan


def run(plan: Plan[Any], *answers: Any) -> tuple[list[Any], Any]:
    """What it asked for, and its result."""
    asked: list[Any] = []
    step: Any = None
    for answer in (None, *answers):
        try:
            step = plan.throw(answer) if isinstance(answer, Exception) else plan.send(answer)
        except StopIteration as ended:
            return asked, ended.value
        asked.append(step)
    raise AssertionError(f"it asks for more: {step}")


def example() -> Plan[Any]:
    markets = yield Call("load_markets")
    try:
        results = yield Ask("oms/commands", "POST", {"request_id": "a"})
    except RequestTimeout:
        results = yield Ask("oms/commands", "POST", {"request_id": "a"})
    orders = yield Ask("oms/orders/7", "GET", {})
    return markets, results, orders


def test_commands_become_calls_and_all_else_stays() -> None:
    asked, result = run(by_socket(example()), "m", "r", "o")
    assert asked == [
        Call("load_markets"),
        Call("command_by_socket", ({"request_id": "a"},)),
        Ask("oms/orders/7", "GET", {}),
    ]
    assert result == ("m", "r", "o")


def test_what_a_command_raises_is_the_plans_to_handle() -> None:
    asked, result = run(by_socket(example()), "m", RequestTimeout("no answer"), "r", "o")
    assert asked[1] == asked[2] == Call("command_by_socket", ({"request_id": "a"},))
    assert result == ("m", "r", "o")
    with pytest.raises(ValueError, match="else"):
        run(by_socket(example()), "m", ValueError("else"))


def test_a_plan_without_questions_ends() -> None:
    def nothing() -> Plan[int]:
        if False:
            yield Call("never")
        return 1

    assert run(by_socket(nothing())) == ([], 1)


def test_each_twin_is_of_a_method_that_there_is() -> None:
    twins = [name for name in vars(OrdersBySocket) if name.endswith("_ws")]
    assert twins
    assert all(hasattr(Orders, name.removesuffix("_ws")) for name in twins)
