"""`python -m loadtest.exchange` is the command line."""

import subprocess
import sys
from pathlib import Path


def test_help() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "loadtest.exchange", "--help"],
        cwd=Path(__file__).parents[3], capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "--replay" in done.stdout
