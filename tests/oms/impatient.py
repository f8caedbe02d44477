"""Who asks for a command and does not wait for its end: until something holds, and not for a time that is too short.

Holds what stands in for the waiting of `oms.desk.requests`. Must not know who asks, nor for what.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from oms.desk import requests
from tests.waiting import until


@contextmanager
def impatient(enough: Callable[[], object] = lambda: True) -> Iterator[None]:
    """In this block whoever asks is answered as soon as this holds, with what is over by then."""

    async def wait(tasks: Collection[asyncio.Future[Any]], *, timeout: float) -> None:  # noqa: ASYNC109  # as asyncio's
        assert timeout > 0
        await until(enough)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(requests, "asyncio", SimpleNamespace(**vars(asyncio) | {"wait": wait}))
        yield
