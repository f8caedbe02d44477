"""docs/security.md: each test that it names is there."""

from __future__ import annotations

import ast
import re

import pytest

from tests.conftest import ROOT
from tests.docs_parts import table, text_of

NAME = "docs/security.md"
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", text_of(NAME))))


@pytest.mark.parametrize("file", sorted({file for file, _ in NAMED}))
def test_tests_that_are_named_exist(file: str) -> None:
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    there = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    assert {test for named, test in NAMED if named == file} <= there


def test_every_attack_is_shown_by_a_test() -> None:
    for heading in ("## Credentials", "## Connections", "## What is said"):
        assert table(NAME, heading), heading
    rows = [line for line in text_of(NAME).splitlines() if line.startswith("| ") and "---" not in line]
    assert [row for row in rows if "::" not in row and "shown by" not in row] == []
