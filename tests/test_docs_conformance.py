"""docs/conformance.md: whatever the protocol promises has a place in it, and each test that it names is there."""

from __future__ import annotations

import re

import pytest

from tests.docs_parts import existing_tests, named_tests, rows_without_a_test, table, text_of

NAME = "docs/conformance.md"
PROTOCOL = "docs/protocol.md"
NAMED = named_tests(NAME)


def headings(name: str) -> list[str]:
    return re.findall(r"^#{2,3} .+$", text_of(name), re.MULTILINE)


@pytest.mark.parametrize("file", sorted(NAMED))
def test_tests_that_are_named_exist(file: str) -> None:
    assert NAMED[file] <= existing_tests(file)


def test_every_section_of_the_protocol_is_there_with_tests() -> None:
    assert headings(NAME) == headings(PROTOCOL)
    assert rows_without_a_test(NAME) == []
    sections = re.split(r"^(#{2,3} .+)$", text_of(NAME), flags=re.MULTILINE)[1:]
    empty = [title for title, text in zip(sections[::2], sections[1::2], strict=True) if "::" not in text]
    assert empty == ["## 1. Connecting", "## 2. Requests"], "all that they say is below their subheadings"


@pytest.mark.parametrize("heading", ["## 3. Channels", "### Private channels", "## 7. Limits", "## 8. Errors"])
def test_every_channel_limit_and_code_is_there(heading: str) -> None:
    _, _, section = text_of(NAME).partition(f"\n{heading}\n")
    section = re.split(r"^## ", section, flags=re.MULTILINE)[0]
    assert [row.name for row in table(PROTOCOL, heading) if f"`{row.name}`" not in section] == []


def test_every_close_is_there() -> None:
    told = {code for row in table(PROTOCOL, "## 9. Closes") for code in re.findall(r"\d+", row.name)}
    assert told == {code for row in table(NAME, "## 9. Closes") for code in re.findall(r"\b\d{4}\b", row.name)}
