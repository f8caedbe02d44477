"""What the tests of the command line and of its commands share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the folder or the environment that the tests were started in is taken for configuration."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("TICKWIRE_") and "__" in name]:
        monkeypatch.delenv(name)
