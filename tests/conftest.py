"""What every test shares: the event loop of production, and where the recorded messages lie.

Holds fixtures without any knowledge of a room; a room's own fixtures live in a conftest.py beside its tests.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import structlog
import uvloop
from hypothesis import settings

pytest_plugins = [
    "tests.leaks",  # what tests log and print holds no secret
    "tests.databases",
]

ROOT = Path(__file__).resolve().parent.parent

# No deadline: the machine is shared, and a slow example is no wrong one. In CI the same examples every time, so that
# what fails there fails here; elsewhere new ones, which is how properties find something.
settings.register_profile("tickwire", deadline=None, derandomize="CI" in os.environ, print_blob=True)
settings.load_profile("tickwire")


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Asynchronous tests run on the loop that production runs on."""
    return {"uvloop": uvloop.new_event_loop}


def pytest_configure(config: pytest.Config) -> None:
    configure = structlog.configure

    def configured(**settings: Any) -> None:
        """A logger that keeps its configuration would keep it in the tests that come after."""
        configure(**{**settings, "cache_logger_on_first_use": False})

    patch = pytest.MonkeyPatch()
    patch.setattr(structlog, "configure", configured)
    config.add_cleanup(patch.undo)
    config.addinivalue_line(
        "markers", "timed: asserts how fast something is; `make test` runs it alone, after the others"
    )


# Folders and files whose tests take seconds each: a process that begins one of them last keeps all others waiting.
SLOW = (
    "tests/test_packaging.py", "tests/bench", "tests/e2e", "tests/loadtest/bench", "tests/loadtest/test_users.py",
    "tests/gateway/test_cli.py", "tests/gateway/sources", "tests/oms/test_postgres.py", "tests/crash",
)  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The slow ones first. Processes share the files in this order (`--no-loadscope-reorder`)."""
    items.sort(key=lambda item: next((at for at, place in enumerate(SLOW) if item.nodeid.startswith(place)), len(SLOW)))


def pytest_collection_finish() -> None:
    """What is there by now stays: hundreds of thousands of objects that no collection has to look at again."""
    gc.collect()
    gc.freeze()
    # Each close of a client of ccxt's ends with a quarter of a second for TLS's goodbyes. Here nobody speaks TLS to an
    # exchange, and hundreds of clients are closed.
    if ccxt_async := sys.modules.get("ccxt.async_support.base.exchange"):
        ccxt_async.Exchange.timeout_on_exit = 0


@pytest.fixture(autouse=True)
def _logs() -> Iterator[None]:
    """What a command that runs in this process makes of all logs ends with its test."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    if structlog.is_configured():
        structlog.reset_defaults()
        root.handlers[:] = handlers
        root.setLevel(level)


@pytest.fixture(scope="session")
def recorded_data() -> Path:
    """The folder of recorded exchange messages: TICKWIRE_RECORDED_DATA, or `../shared/data` beside the checkout."""
    folder = Path(os.environ.get("TICKWIRE_RECORDED_DATA") or ROOT.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"no recorded messages: {folder} is not there")
    return folder
