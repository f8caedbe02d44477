"""What the tests of the documents share: their text, fences and tables.

Fences are marked by what they hold: `json client` and `json server` are lines of the wire, `toml` a configuration.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from tests.conftest import ROOT


def text_of(name: str) -> str:
    """A document, by its path from the root."""
    return (ROOT / name).read_text(encoding="utf-8")


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
