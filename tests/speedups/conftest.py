"""An event loop turned by hand, and a fan-out on it with queues small enough to fill."""

from __future__ import annotations

import pytest

from _speedups.fanout import Fanout
from tests.speedups.fanout_parts import ManualLoop


@pytest.fixture
def loop() -> ManualLoop:
    return ManualLoop()


@pytest.fixture
def fanout(loop: ManualLoop) -> Fanout:
    return Fanout(loop.call_soon, loop.call_later, queue_state_bytes=200, queue_append_bytes=300, queue_bytes_max=1000)
