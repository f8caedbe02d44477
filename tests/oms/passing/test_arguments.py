"""Values of arguments: what is taken, what becomes of it, and what is refused by name."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from oms.errors import OmsError
from oms.passing.arguments import CHECKS, ROWS_MAX, TIME_MS_MAX, floats


@pytest.mark.parametrize(
    ("name", "value", "taken"),
    [
        ("symbol", "BTC/USDT:USDT-260327", "BTC/USDT:USDT-260327"),
        ("symbols", [], []),
        ("since", Decimal("1700000000000.0"), 1_700_000_000_000),
        ("since", TIME_MS_MAX, TIME_MS_MAX),
        ("limit", ROWS_MAX, ROWS_MAX),
        ("limit", ROWS_MAX + 1, ROWS_MAX),
        ("timeframe", "15m", "15m"),
        ("id", 12, "12"),
        ("ids", [1, "2"], ["1", "2"]),
        ("amount", "0.10", Decimal("0.1")),
        ("price", Decimal("1E-5"), Decimal("0.00001")),
        ("side", "BUY", "buy"),
        ("type", "Limit", "limit"),
        ("timeout", 0, 0),
        ("leverage", Decimal("3.0"), 3),
        ("leverage", Decimal("2.5"), 2.5),
        ("hedged", False, False),
        ("marginMode", "isolated", "isolated"),
        ("params", {"triggerPrice": Decimal("0.1")}, {"triggerPrice": Decimal("0.1")}),
    ],
)
def test_what_is_taken(name: str, value: Any, taken: Any) -> None:
    found = CHECKS[name](name, value)
    assert (found, type(found)) == (taken, type(taken))


@pytest.mark.parametrize(
    ("name", "value", "exception"),
    [
        ("symbol", "", "BadRequest"),
        ("symbol", "a\x00", "BadRequest"),
        ("symbols", ["A/B", 1], "BadRequest"),
        ("since", TIME_MS_MAX + 1, "BadRequest"),
        ("limit", 0, "BadRequest"),
        ("timeframe", "m", "BadRequest"),
        ("ids", [], "BadRequest"),
        ("ids", ["1"] * 201, "BadRequest"),
        ("orders", [], "BadRequest"),
        ("orders", [1], "BadRequest"),
        ("orders", [{}] * 101, "BadRequest"),
        ("timeout", 24 * 3_600_000 + 1, "BadRequest"),
        ("leverage", 0, "BadRequest"),
        ("leverage", True, "BadRequest"),
        ("leverage", "5", "BadRequest"),
        ("leverage", 1_001, "BadRequest"),
        ("hedged", "no", "BadRequest"),
        ("side", "up", "InvalidOrder"),
        ("side", 1, "InvalidOrder"),
        ("type", "iceberg", "InvalidOrder"),
        ("amount", "ten", "InvalidOrder"),
        ("amount", True, "InvalidOrder"),
        ("price", "1e99", "InvalidOrder"),
        ("params", {"signature": "x"}, "BadRequest"),
    ],
)
def test_what_is_refused(name: str, value: Any, exception: str) -> None:
    with pytest.raises(OmsError, match=f"^{name}: ") as refused:
        CHECKS[name](name, value)
    assert refused.value.code == "validation_error"
    assert refused.value.details == {"field": name, "exception": exception}


def test_params_for_the_exchange_have_floats() -> None:
    assert floats({"a": Decimal("0.5"), "b": [{"c": Decimal(2)}], "d": 7}) == {"a": 0.5, "b": [{"c": 2.0}], "d": 7}
