"""A call of ccxt runs up to its request, and no further."""

from __future__ import annotations

import asyncio

import pytest

from oms.venues.rehearsal import Meant, rehearse, stop_here

PLAIN = Meant("private", "POST", "order", {"a": 1})


async def sends(path: str = "order") -> str:
    try:
        stop_here("private", "POST", path, {"a": 1})
    except Exception as error:  # as ccxt does in places
        raise AssertionError from error
    return "sent"


async def test_the_request_is_told_and_not_sent() -> None:
    assert rehearse(sends) == PLAIN
    assert await sends() == "sent"  # of a call that is meant


async def test_a_call_that_waits_for_something_first_tells_nothing() -> None:
    async def waits() -> str:
        await asyncio.sleep(0)
        return await sends()

    async def asks_nothing() -> None:
        return None

    assert rehearse(waits) is None
    assert rehearse(asks_nothing) is None


async def test_what_the_call_refuses_is_raised() -> None:
    async def refuses() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        rehearse(refuses)
    assert await sends() == "sent"


@pytest.mark.parametrize(
    ("meant", "adds"),
    [
        (PLAIN, True),
        (Meant("private", "POST", "order", {"a": 1, "b": 2}), True),
        (Meant("private", "POST", "order", {"a": 2}), False),
        (Meant("private", "POST", "order", {"b": 1}), False),
        (Meant("private", "POST", "order/test", {"a": 1}), False),
        (Meant("private", "PUT", "order", {"a": 1}), False),
        (Meant("sapi", "POST", "order", {"a": 1}), False),
    ],
)
def test_whether_one_request_only_adds_to_another(meant: Meant, adds: bool) -> None:
    assert meant.only_adds_to(PLAIN) is adds
