"""Every compiled function has a benchmark: the modules themselves are asked what there is."""

from __future__ import annotations

import pkgutil
from collections.abc import Iterator
from functools import reduce
from importlib import import_module

import _speedups
import tests.bench.compiled

NOT_MEASURED = {
    "bars.Bar": "comes from a builder only",
    "book.Changes": "come from a book only",
    "fanout.Group": "made in C only, when somebody joins: measured with Stream.attach",
    "frame.Form": "holds nothing",
    "frame.Form.gap": "a codec's own, in Python",
    "frame.Form.template": "a codec's own, in Python",
    "outbox.Chunk": "made in C only: measured with Fanout.flush_now",
    "outbox.Members": "what groups have in common, nothing by itself",
    "outbox.Subscription": "made in C only: measured with Stream.attach",
    "outbox.Sweeper": "the part of Fanout that knows no streams, nothing by itself",
    "outbox.raise_later": "raises what it is given, after something went wrong",
    "text.Writer": "used in C only: measured with what writes JSON",
}


def compiled() -> Iterator[str]:
    """`module.function`, `module.Class` for its constructor, `module.Class.method`; attributes are not asked for."""
    for found in pkgutil.iter_modules(_speedups.__path__):
        module = import_module(f"_speedups.{found.name}")
        for name, value in vars(module).items():
            if name.startswith("_") or getattr(value, "__module__", None) != module.__name__:
                continue
            yield f"{found.name}.{name}"
            if isinstance(value, type):
                methods = (each for each, held in vars(value).items() if callable(held))
                yield from (f"{found.name}.{name}.{m}" for m in methods if m == "__len__" or not m.startswith("_"))


def measured() -> Iterator[str]:
    """What the benchmarks say they are about."""
    for found in pkgutil.iter_modules(tests.bench.compiled.__path__):
        if found.name.startswith("test_bench_"):
            for value in vars(import_module(f"{tests.bench.compiled.__name__}.{found.name}")).values():
                marks = getattr(value, "pytestmark", [])
                yield from (mark.kwargs["group"] for mark in marks if mark.name == "benchmark")


def test_every_compiled_function_has_a_benchmark() -> None:
    lacking = set(compiled()) - set(measured()) - set(NOT_MEASURED)
    assert not lacking, f"write benchmarks in tests/bench/compiled: {', '.join(sorted(lacking))}"


def test_functions_are_found_in_all_modules() -> None:
    assert {"frame.encode", "fanout.Stream.publish", "parser.Parser", "sequence.Ring.__len__"} <= set(compiled())
    assert {name.partition(".")[0] for name in compiled()} >= {"bars", "book", "histogram", "outbox", "text"}


def test_what_a_benchmark_is_about_exists() -> None:
    for name in measured():
        module, *path = name.split(".")
        assert reduce(getattr, path, import_module(f"_speedups.{module}")) is not None, name


def test_what_is_not_measured_still_exists_and_has_no_benchmark() -> None:
    assert set(NOT_MEASURED) <= set(compiled())
    assert not set(NOT_MEASURED) & set(measured())
