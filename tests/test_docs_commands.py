"""docs/commands.md against the command line: which commands there are, and that what it shows can be typed."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

import pytest
from cyclopts import App

from gateway.cli import app
from tests.docs_parts import fences, table

NAME = "docs/commands.md"
LINES = [line for fence in fences(NAME, "sh") for line in fence.splitlines() if line.startswith("tickwire ")]


def commands(under: App, path: str) -> Iterator[str]:
    """Every command below one, as it is typed."""
    names = [name for name in under if not name.startswith("-")]
    if not names:
        yield path
    for name in names:
        yield from commands(under[name], f"{path} {name}")


def test_every_command_is_told() -> None:
    shown: set[str] = set()
    for row in table(NAME, "# The command line"):
        first, *more = re.findall(r"[^`,]+", row.name.replace("`", "").replace(" ,", ","))
        group = first.rpartition(" ")[0]
        shown |= {first.strip(), *(f"{group} {name.strip()}" for name in more)}
    assert shown == set(commands(app, "tickwire"))


@pytest.mark.parametrize("line", LINES)
def test_what_is_shown_can_be_typed(line: str) -> None:
    tokens = shlex.split(line.partition("<")[0])[1:]
    function, bound, ignored = app.parse_args(tokens, exit_on_error=False, print_error=False)
    assert callable(function)
    assert not ignored
    assert bound.arguments is not None
