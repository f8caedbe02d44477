"""A command's failure as a person meets it: its sentence, exit code 1, and no traceback."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from gateway import cli
from gateway.commands.failure import CommandError


@pytest.mark.parametrize("cause", [None, OSError(98, "in use")])
def test_a_failure_is_told_by_its_sentence_alone(
    cause: Exception | None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def failing(_file: Path | None) -> None:
        raise CommandError("port 1 is taken") from cause

    monkeypatch.setattr("gateway.commands.serve.find", failing)
    monkeypatch.setattr(sys, "argv", ["tickwire", "serve"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 1
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "tickwire: port 1 is taken\n")
