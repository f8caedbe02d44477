"""The gateway's own resources first, the exchange behind it where the gateway has none.

Holds what happens when a resource is missing as a whole. Must not know which resources there are.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

from driver.asking import Asking, new_request_id
from driver.errors import RouteMissing
from driver.plan import Plan, unified


def oms_first(plan: Callable[..., Plan[Any]]) -> Any:
    """A unified method that is passed through when what it needs is no resource of this gateway; that is remembered."""
    name = plan.__name__
    signature = inspect.signature(plan)

    @functools.wraps(plan)
    def either(self: Asking, *arguments: Any, **named: Any) -> Plan[Any]:
        missing: set[str] = self.__dict__.setdefault("_missing_routes", set())
        if name not in missing:
            try:
                return (yield from plan(self, *arguments, **named))
            except RouteMissing:
                missing.add(name)
        given, params = positional(signature, (self, *arguments), named)
        if not name.startswith("fetch"):  # a command: only with an id of its own it can be asked for again
            params.setdefault("request_id", new_request_id())
        return (yield from self.pass_through(name, given[1:], params))

    return unified(either)


def positional(
    signature: inspect.Signature, arguments: tuple[Any, ...], named: dict[str, Any]
) -> tuple[list[Any], dict[str, Any]]:
    """The arguments by position, without those at the end that were left out, and `params`."""
    bound = signature.bind(*arguments, **named)
    params = bound.arguments.pop("params", None) or {}
    bound.apply_defaults()
    given = [value for name, value in bound.arguments.items() if name != "params"]
    while given and given[-1] is None:
        given.pop()
    return given, dict(params)
