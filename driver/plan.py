"""Unified methods written once for every kind of client: plans, which say what to ask and are told the answer.

A plan is a generator. It yields an `Ask` (a request), a `Call` (a method of the exchange class itself, which waits in
one kind and does not in the other) or a `Pause`; it is sent the answer, or thrown what went wrong; it returns the
result. Must not know how a request travels: `driver.sync` and `driver.async_` carry plans out.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Generator, Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias, TypeVar

Params: TypeAlias = Mapping[str, Any]  # what a caller gives beside the arguments of a unified method
T = TypeVar("T")
_MARK: Final = "_is_unified_plan"


class Ask(NamedTuple):
    """A request. `content` is the query of a GET and the JSON body of a POST."""

    path: str
    method: str
    content: Any
    api: str = "private"  # or public: without credentials it is asked too


class Call(NamedTuple):
    """A method of the exchange, by its name: so that what a subclass makes of it counts."""

    name: str
    arguments: tuple[Any, ...] = ()


class Pause(NamedTuple):
    """Time that passes before the plan goes on."""

    time_ms: float


Plan: TypeAlias = Generator[Ask | Call | Pause, Any, T]


class Host:
    """The class of ccxt that a mixin ends up in, for type checkers: everything of it may be used."""

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...


def unified(plan: Callable[..., Plan[Any]]) -> Any:
    """Marks a plan as the unified method of its name: `give_methods` makes that of it."""
    setattr(plan, _MARK, True)
    return plan


def give_methods(kind: type[Any], made_of: Callable[[Callable[..., Plan[Any]]], Any]) -> None:
    """Puts into the class a method for each marked plan that it inherits; `made_of` says what it is made into."""
    for name, plan in inspect.getmembers(kind, inspect.isfunction):
        if getattr(plan, _MARK, False):
            setattr(kind, name, made_of(plan))
