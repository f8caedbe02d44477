"""A command's failure is one sentence."""

from __future__ import annotations

from gateway.commands.failure import CommandError


def test_it_is_its_sentence() -> None:
    assert str(CommandError("port 1 is taken")) == "port 1 is taken"
