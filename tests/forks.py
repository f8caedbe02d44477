"""Processes that begin at once: forked from one that has imported what they run, once for all tests of a worker.

Holds that one's preparation, and what becomes of a fork's output. Must not know what is run.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext
from typing import Final

CONTEXT: Final[ForkServerContext] = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["loadtest.exchange.cli", "tests.crash.gateway"])  # once, before the first fork


def run_main(main: Callable[[Sequence[str]], int], arguments: Sequence[str], output: Connection) -> None:
    """In a fork: a program's `main`, with its output into a pipe."""
    os.dup2(output.fileno(), 1)
    output.close()
    sys.exit(main(arguments))
