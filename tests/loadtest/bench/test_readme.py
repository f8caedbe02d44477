"""README.md's figures are those of docs/benchmarks.md: as they stand in the tree, and of made results."""

from __future__ import annotations

from dataclasses import replace

import pytest

from loadtest.bench import pages, readme, report
from loadtest.bench.workloads import Result
from tests.loadtest.bench.made import FIGURES, MACHINE, result

MARKED = f"# tickwire\n\n{readme.BEGIN}\nolder\n{readme.END}\n\nMore.\n"


def document(*results: Result) -> str:
    return report.document("python -m loadtest.bench", MACHINE, results, ["no peers"])


def test_the_readme_of_the_tree_says_what_its_page_of_benchmarks_says() -> None:
    shown, page = (path.read_text(encoding="utf-8") for path in (pages.README, pages.DOCUMENT))
    assert readme.block(page)
    assert readme.written(shown, page) == shown


def test_rows_of_the_gateway_and_of_the_floor() -> None:
    text = readme.block(document(*map(result, "ABCD")))
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("|")]
    assert rows[0] == [
        "workload", "server", "messages/s", "p50 ms", "p99 ms", "CPU µs/message", "KiB a connection",
    ]  # fmt: skip
    ours = ["tickwire", "100,000", "2.50", "5.00", "4.40", "8.0"]
    assert rows[2] == ["A: 1,000 connections, 1 key, 100 updates/s", *ours]
    assert [row[1] for row in rows[2:]] == ["tickwire", "C floor, 1 a send"] * 3
    assert text.startswith("`python -m loadtest.bench`, 2026-02-07 14:30 UTC, on 2 x A Processor, shared:")
    assert "No message is missing in any." in text
    assert "The *C floor* sends" in text


def test_what_any_client_missed_is_said() -> None:
    measured = result("B", replace(FIGURES, unannounced=None))
    measured.checked = replace(FIGURES, unannounced=3, announced=2)
    text = readme.block(document(result("A", replace(FIGURES, unannounced=2)), measured, result("C")))
    assert "5 messages are missing." in text


def test_without_a_floor_nothing_is_said_of_it() -> None:
    assert "floor" not in readme.block(document(*(result(name, floor=None) for name in "ABC")))


@pytest.mark.parametrize(
    ("shown", "page"),
    [(MARKED, "## H: orders\n"), ("# no marks\n", document(*map(result, "ABC")))],
    ids=["a page without workloads", "no marks"],
)
def test_a_readme_stays_as_it_is_where_there_is_nothing_for_it(shown: str, page: str) -> None:
    assert readme.written(shown, page) == shown


def test_only_what_is_between_the_marks_changes() -> None:
    fresh = readme.written(MARKED, document(*map(result, "ABC")))
    assert fresh.startswith(f"# tickwire\n\n{readme.BEGIN}\n`python -m")
    assert fresh.endswith(f"\n{readme.END}\n\nMore.\n")
    assert "older" not in fresh
