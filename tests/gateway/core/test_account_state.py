"""What has changed of an account: by example, and as what leads a client from any state to any other."""

from __future__ import annotations

from decimal import Decimal
from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.account_state import (
    FIELDS,
    Change,
    Closed,
    Modified,
    Opened,
    Step,
    Updated,
    compare,
    describe,
    gone,
)
from tests.gateway.accounts_made import Ending, Holding, Standing, standing


def test_nothing_is_told_of_what_is_as_it_was() -> None:
    before = standing("1000.0", Holding(1, sl=Decimal("1.0")))
    after = standing("1000.00", Holding(1, sl=Decimal("1.00"), mark=Decimal(2), profit=Decimal(3)))
    assert compare(before, after, {}) == []


def test_what_was_closed_comes_first_and_the_money_last() -> None:
    before = standing("1000", Holding(1), Holding(2))
    opened = Holding(3)
    after = standing("1150", Holding(2, sl=Decimal("1.08")), opened)
    assert compare(before, after, {1: Ending(Decimal("1.0865"), Decimal(150))}) == [
        Closed(1, Decimal("1.0865"), Decimal(150)),
        Modified(2, {"sl": Step(None, Decimal("1.08"))}),
        Opened(opened),
        Updated({"balance": Step(Decimal(1000), Decimal(1150))}),
    ]


def test_a_position_whose_end_nobody_knows_ended_as_it_was_last_seen() -> None:
    before = standing("1000", Holding(1, mark=Decimal("1.1"), profit=Decimal(-5)))
    assert compare(before, standing("1000"), {}) == [Closed(1, Decimal("1.1"), Decimal(-5))]


def test_a_figure_that_is_not_told_any_more_is_not_known() -> None:
    (updated,) = compare(standing("1", equity=Decimal(2)), standing("1"), {})
    assert updated == Updated({"equity": Step(Decimal(2), None)})


def test_another_symbol_is_another_position() -> None:
    other = Holding(1, symbol="USDJPY")
    assert compare(standing("1", Holding(1)), standing("1", other), {}) == [Opened(other)]


# --- against a client that only applies what it is told ---------------------------------------------------------------

AMOUNTS = st.sampled_from([None, Decimal(0), Decimal("1.5"), Decimal("1.50"), Decimal(-2)])
HOLDINGS = st.builds(
    Holding,
    ticket=st.integers(1, 4),
    symbol=st.sampled_from(["EURUSD", "USDJPY"]),
    side=st.sampled_from(["buy", "sell"]),
    volume=st.sampled_from([Decimal(1), Decimal("0.1")]),
    price=AMOUNTS,
    sl=AMOUNTS,
    tp=AMOUNTS,
)
STANDINGS = st.builds(
    Standing,
    st.dictionaries(st.sampled_from(["balance", "equity", "margin"]), AMOUNTS),
    st.lists(HOLDINGS, unique_by=lambda each: each.ticket).map(lambda held: {each.ticket: each for each in held}),
)


class Client:
    """What somebody knows who has heard every change."""

    def __init__(self) -> None:
        self.figures: dict[str, Any] = {}
        self.positions: dict[int, dict[str, Any]] = {}

    def hear(self, change: Change) -> None:
        match change:
            case Updated(changes):
                for name, step in changes.items():
                    assert self.figures.get(name) == step.old
                    self.figures[name] = step.new
            case Opened(position):
                self.positions[position.ticket] = fields_of(position)
            case Modified(ticket, changes):
                for name, step in changes.items():
                    assert self.positions[ticket][name] == step.old != step.new
                    self.positions[ticket][name] = step.new
            case Closed(ticket):
                del self.positions[ticket]

    def agrees(self, now: Standing) -> bool:
        figures = {name: value for name, value in self.figures.items() if value is not None}
        told = {name: value for name, value in now.figures.items() if value is not None}
        return figures == told and self.positions == {n: fields_of(each) for n, each in now.positions.items()}


def fields_of(position: Any) -> dict[str, Any]:
    return {"symbol": position.symbol, **{name: getattr(position, field) for name, field in FIELDS.items()}}


@settings(max_examples=40, deadline=None)
@given(st.lists(STANDINGS, min_size=1, max_size=5))
def test_who_hears_every_change_knows_every_state(states: list[Standing]) -> None:
    client = Client()
    for change in describe(states[0]):
        client.hear(change)
    assert client.agrees(states[0])
    for before, after in pairwise(states):
        changes = compare(before, after, {})
        assert [change.ticket for change in changes if isinstance(change, Closed)] == gone(before, after)
        for change in changes:
            client.hear(change)
        assert client.agrees(after)
        assert compare(after, after, {}) == []
