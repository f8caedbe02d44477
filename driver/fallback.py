"""The gateway's own resources first, the exchange behind it where the gateway has none.

Holds what happens when a resource is missing as a whole. Must not know which resources there are.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias, TypeVar

from ccxt.base.errors import BaseError

from driver.asking import Asking, new_request_id
from driver.errors import RouteMissing, is_missing_by_its_word
from driver.plan import Ask, Plan, unified

T = TypeVar("T")
Given: TypeAlias = dict[str, Any]  # arguments of a method by name, `params` among them
Named: TypeAlias = Callable[[Given], Sequence[str]]
# How a command is passed through: the client, the arguments by name but for the params, the params, and the names.
Passed: TypeAlias = Callable[[Any, Given, dict[str, Any], Sequence[str]], Plan[Any]]


def oms_first(plan: Callable[..., Plan[Any]]) -> Any:
    """A unified method that reads, passed through when what it needs is no resource of this gateway.

    That is remembered when the gateway itself says so.
    """
    name = plan.__name__
    signature = inspect.signature(plan)

    @functools.wraps(plan)
    def either(self: Asking, *arguments: Any, **named: Any) -> Plan[Any]:
        missing: set[str] = self.__dict__.setdefault("_missing_routes", set())
        if name not in missing:
            try:
                return (yield from plan(self, *arguments, **named))
            except RouteMissing as error:
                if is_missing_by_its_word(error):
                    missing.add(name)
        given, params = positional(signature, (self, *arguments), named)
        return (yield from self.pass_through(name, given[1:], _of_strategy(self, params)))

    return unified(either)


def command_first(
    named: Named = lambda _: (), passed: Passed | None = None
) -> Callable[[Callable[..., Plan[Any]]], Any]:
    """A unified method that changes something; passed through when nothing can have been done by the gateway itself.

    That is when the gateway answered the first request, at its first try, that it has no such resource; it is asked
    again the next time. The call has the same request_id, and the same names: `named` gives each order that is to be
    made a clientOrderId, and returns them. `passed` is how, if not in one call.
    """

    def decorated(plan: Callable[..., Plan[Any]]) -> Any:
        name = plan.__name__
        signature = inspect.signature(plan)

        @functools.wraps(plan)
        def either(self: Asking, *arguments: Any, **others: Any) -> Plan[Any]:
            given = _given(signature, (self, *arguments), others)
            if given["params"].get("request_id") is None:
                given["params"]["request_id"] = new_request_id()
            names = named(given)
            try:
                return (yield from _unless_missing(plan(self, **given)))
            except _NoSuchRouteError:
                params = _of_strategy(self, given["params"])
            if passed is not None:
                return (yield from passed(self, given, params, names))
            return (yield from self.pass_command_through(name, _without_params(given), params, names))

        return unified(either)

    return decorated


class _NoSuchRouteError(Exception):
    """The first thing that a plan asked for is nothing that the gateway has."""


def _unless_missing(plan: Plan[T]) -> Plan[T]:
    """The same plan. Raises _NoSuchRouteError when its first request was answered so: nothing else was asked."""
    step: Callable[[], Any] = functools.partial(next, plan)
    requests = 0
    while True:
        try:
            asked = step()
        except StopIteration as ended:
            result: T = ended.value
            return result
        requests += isinstance(asked, Ask)
        try:
            answer = yield asked
        except BaseError as error:
            if isinstance(asked, Ask) and requests == 1 and is_missing_by_its_word(error):
                plan.close()
                raise _NoSuchRouteError from error
            step = functools.partial(plan.throw, error)
        else:
            step = functools.partial(plan.send, answer)


def _of_strategy(client: Asking, params: Mapping[str, Any]) -> dict[str, Any]:
    """What is passed through is about the strategy of the options too."""
    strategy_id = client.options.get("strategy_id")
    own = {} if strategy_id is None else {"strategy_id": int(strategy_id)}
    return {**own, **params}


def _given(signature: inspect.Signature, arguments: tuple[Any, ...], named: Mapping[str, Any]) -> Given:
    """The arguments by name, without who is called; `params` is a copy."""
    bound = signature.bind(*arguments, **named)
    bound.apply_defaults()
    _, *others = bound.arguments.items()
    given = dict(others)
    return {**given, "params": dict(given.get("params") or {})}


def positional(
    signature: inspect.Signature, arguments: tuple[Any, ...], named: Mapping[str, Any]
) -> tuple[list[Any], dict[str, Any]]:
    """The arguments by position, without those at the end that were left out, and `params`."""
    bound = signature.bind(*arguments, **named)
    params = bound.arguments.pop("params", None) or {}
    bound.apply_defaults()
    return _without_params(bound.arguments), dict(params)


def _without_params(arguments: Mapping[str, Any]) -> list[Any]:
    given = [value for name, value in arguments.items() if name != "params"]
    while given and given[-1] is None:
        given.pop()
    return given
