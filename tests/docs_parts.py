"""What the tests of the documents share: their text, headings, fences and tables.

Fences are marked by what they hold: `json client` and `json server` are lines of the wire, `toml` a configuration.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import NamedTuple

from tests.conftest import ROOT


def text_of(name: str) -> str:
    """A document, by its path from the root."""
    return (ROOT / name).read_text(encoding="utf-8")


def anchors(path: Path) -> set[str]:
    """The anchors GitHub makes of the headings."""
    headings = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def fences(name: str, info: str) -> list[str]:
    """What stands in the fences marked so."""
    return re.findall(rf"^```{info}\n(.*?)^```$", text_of(name), re.MULTILINE | re.DOTALL)


class Row(NamedTuple):
    """The first two cells of a table's row, without their backquotes."""

    name: str
    value: str


def table(name: str, heading: str) -> list[Row]:
    """The rows of the first table after a heading, without its head."""
    _, _, after = f"\n{text_of(name)}".partition(f"\n{heading}\n")
    assert after, f"{name} has no heading {heading!r}"
    rows = re.search(r"^\|.*?\n\|[ :|-]+\n((?:\|.*\n)+)", after, re.MULTILINE)
    assert rows is not None
    cells = [[cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]] for row in rows[1].splitlines()]
    return [Row(row[0].strip("`"), row[1].strip("`")) for row in cells]


def named_tests(name: str) -> dict[str, set[str]]:
    """The tests that a document names, by their file."""
    named: dict[str, set[str]] = {}
    for file, test in re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", text_of(name)):
        named.setdefault(file, set()).add(test)
    return named


def existing_tests(file: str) -> set[str]:
    """The tests of a file: its functions, and the names that are given to state machines."""
    nodes = list(ast.walk(ast.parse(text_of(file))))
    functions = {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    assigned = [node.targets[0] for node in nodes if isinstance(node, ast.Assign)]
    machines = {target.id for target in assigned if isinstance(target, ast.Name) and target.id.startswith("Test")}
    return functions | machines


def rows_without_a_test(name: str) -> list[str]:
    """The rows of a document's tables that name no test, and do not say what else shows it."""
    rows = [line for line in text_of(name).splitlines() if line.startswith("| ") and "---" not in line]
    return [row for row in rows if "::" not in row and "shown by" not in row]
