"""`make users`: a demo gateway with an account, and locust's users against it, each a process of its own.

Holds how the two are started and ended; what users do is in locustfile.py. Arguments go to locust; with `--host`
nothing is started here, and the users go to that gateway.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

LOCUSTFILE = Path(__file__).with_name("locustfile.py")
LISTENS = "The gateway listens on "
KEY = "  export KEY="
DEFAULTS = ("--users", "100", "--spawn-rate", "50", "--run-time", "20s")


def main(arguments: Sequence[str]) -> int:
    """locust's exit code: 1 when a request failed."""
    if "--host" in arguments:
        return locust(arguments)
    with demo() as (host, key):
        return locust(["--host", host, *arguments], key)


@contextlib.contextmanager
def demo() -> Iterator[tuple[str, str]]:
    """A demo gateway with an order database of its own: where it listens, and the key that trades on its account 1."""
    command = [sys.executable, "-m", "gateway.cli", "demo", "--port", "0", "--symbols", "2", "--rate", "50"]
    with tempfile.TemporaryDirectory(prefix="tickwire-users-") as name:
        Path(name).chmod(0o755)  # as root the database runs under an account of its own
        with subprocess.Popen([*command, "--state", f"{name}/demo"], stdout=subprocess.PIPE, text=True) as running:  # noqa: S603  # ours
            try:
                assert running.stdout is not None
                said = iter(running.stdout)
                host = _said(said, LISTENS).split(";", maxsplit=1)[0]
                yield f"http://{host}", _said(said, KEY)
            finally:
                running.terminate()


def _said(lines: Iterator[str], opening: str) -> str:
    """What follows in the first line that opens like this."""
    line = next((line for line in lines if line.startswith(opening)), None)
    if line is None:
        sys.exit("the gateway did not start")
    return line.removeprefix(opening).strip()


def locust(arguments: Sequence[str], key: str = "") -> int:
    words = [sys.executable, "-m", "locust", "--locustfile", str(LOCUSTFILE), "--headless", *DEFAULTS, *arguments]
    environment = {**os.environ, **({"TICKWIRE_LOAD_KEY": key} if key else {})}
    return subprocess.run(words, check=False, env=environment).returncode  # noqa: S603  # our own command line


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
