"""The reference that compiled code is held against, and the mark that says what a benchmark measures.

The reference is fixed work in CPython's own C: it allocates, formats and copies small bytes, as the compiled modules
do. Whatever makes a machine faster or slower does so to both; what is kept and compared is the quotient of the two.
Must not know what is measured.
"""

from __future__ import annotations

import time

import pytest

REPEATS = 400
NUMBERS = [61_837_63 + 7 * step for step in range(200)]


def measures(name: str) -> pytest.MarkDecorator:
    """The mark of a benchmark: `name` is the compiled function it is about, `module.function` or `module.Class.method`;
    a class alone is its constructor."""
    return pytest.mark.benchmark(group=name, max_time=0.25, min_rounds=5, disable_gc=True)


def work() -> bytes:
    """Some 40 us."""
    return b"".join([b'{"price":%d.%02d}' % divmod(number, 100) for number in NUMBERS])


def reference_s() -> float:
    """The least time it took over some 20 ms: what disturbs only adds."""
    least = float("inf")
    for _ in range(REPEATS):
        began = time.perf_counter()
        work()
        least = min(least, time.perf_counter() - began)
    return least
