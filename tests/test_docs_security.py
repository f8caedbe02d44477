"""docs/security.md: each test that it names is there."""

from __future__ import annotations

import pytest

from tests.docs_parts import existing_tests, named_tests, rows_without_a_test, table

NAME = "docs/security.md"
NAMED = named_tests(NAME)


@pytest.mark.parametrize("file", sorted(NAMED))
def test_tests_that_are_named_exist(file: str) -> None:
    assert NAMED[file] <= existing_tests(file)


def test_every_attack_is_shown_by_a_test() -> None:
    for heading in ("## Credentials", "## Connections", "## What is said"):
        assert table(NAME, heading), heading
    assert rows_without_a_test(NAME) == []
