"""The order-state table."""

from __future__ import annotations

import pytest

from oms.model import TERMINAL, OrderState
from oms.states import TABLE


@pytest.mark.parametrize("state", OrderState)
def test_every_state_has_a_row(state: OrderState) -> None:
    assert TABLE[state]


def test_what_is_over_is_revived_by_fills_only() -> None:
    for state in TERMINAL:
        opening = {happening.__name__ for happening, allowed in TABLE[state].items() if allowed - {state}}
        assert opening <= {"Filled"}
