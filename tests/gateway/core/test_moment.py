"""Times on the wire: UTC, to the millisecond, never rounded up."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import orjson
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.moment import moment

FIRST = datetime(1970, 1, 1, tzinfo=UTC)


def test_the_form_is_that_of_the_protocol() -> None:
    assert moment(1_770_474_600_123_999_999) == "2026-02-07T14:30:00.123Z"
    assert orjson.loads(orjson.dumps(moment(0))) == "1970-01-01T00:00:00.000Z"


@given(st.integers(0, 4_000_000_000_000))
def test_it_is_read_as_the_time_it_was(time_ms: int) -> None:
    assert datetime.fromisoformat(moment(time_ms * 1_000_000)) - FIRST == timedelta(milliseconds=time_ms)
