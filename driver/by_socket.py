"""Orders over the socket: the plans of `driver.orders`, whose commands go by the stream instead of a request.

Must not know the socket: what carries a plan out has `command_by_socket`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Coroutine
from typing import Any, Final

from ccxt.base.errors import BaseError

from driver.orders import Orders
from driver.plan import Ask, Call, Plan

COMMANDS: Final = "oms/commands"


def by_socket(plan: Plan[Any]) -> Plan[Any]:
    """The same plan; its commands are `command_by_socket`'s."""
    step: Callable[[], Any] = functools.partial(next, plan)
    while True:
        try:
            asked = step()
        except StopIteration as ended:
            return ended.value
        if isinstance(asked, Ask) and asked.path == COMMANDS:
            asked = Call("command_by_socket", (asked.content,))
        try:
            answer = yield asked
        except BaseError as error:
            step = functools.partial(plan.throw, error)
        else:
            step = functools.partial(plan.send, answer)


def _twin(name: str) -> Callable[..., Coroutine[Any, Any, Any]]:
    plan: Callable[..., Plan[Any]] = getattr(Orders, name)

    async def method(self: Any, *arguments: Any, **named: Any) -> Any:
        return await self.carry_out(by_socket(plan(self, *arguments, **named)))

    method.__name__ = method.__qualname__ = f"{name}_ws"
    method.__doc__ = f"As `{name}`, over the socket."
    return method


class OrdersBySocket:
    """`createOrderWs` and its kin."""

    create_order_ws = _twin("create_order")
    create_orders_ws = _twin("create_orders")
    edit_order_ws = _twin("edit_order")
    cancel_order_ws = _twin("cancel_order")
    cancel_orders_ws = _twin("cancel_orders")
    cancel_all_orders_ws = _twin("cancel_all_orders")
