"""Plans become methods of the class that carries them out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from driver.plan import Ask, Plan, give_methods, unified


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
