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
from typing import NamedTuple

from loadtest.swarm import ToolError

LOCUSTFILE = Path(__file__).with_name("locustfile.py")
LISTENS = "The gateway listens on "
KEY = "  export KEY="
DEFAULTS = ("--users", "100", "--spawn-rate", "50", "--run-time", "20s")
WEB = "--web-"  # locust's options of its web UI begin so
WEB_UI = "--web-ui"  # ours: the web UI, with nothing else said of it


class Demo(NamedTuple):
    """A running demo."""

    url: str
    key: str
    pid: int

    def __repr__(self) -> str:
        return f"Demo(url={self.url!r}, pid={self.pid})"


def main(arguments: Sequence[str]) -> int:
    """locust's exit code: 1 when a request failed."""
    if "--host" in arguments:
        return locust(arguments)
    try:
        with demo() as here:
            return locust(["--host", here.url, *arguments], here.key)
    except ToolError as error:
        sys.exit(str(error))


@contextlib.contextmanager
def demo() -> Iterator[Demo]:
    """A demo gateway with an order database of its own: where it listens, and the key that trades on its account 1."""
    command = [sys.executable, "-m", "gateway.cli", "demo", "--port", "0", "--symbols", "2", "--rate", "50"]
    with tempfile.TemporaryDirectory(prefix="tickwire-users-") as name:
        Path(name).chmod(0o755)  # as root the database runs under an account of its own
        with subprocess.Popen([*command, "--state", f"{name}/demo"], stdout=subprocess.PIPE, text=True) as running:  # noqa: S603  # ours
            try:
                assert running.stdout is not None
                said = iter(running.stdout)
                host = _said(said, LISTENS).split(";", maxsplit=1)[0]
                yield Demo(f"http://{host}", _said(said, KEY), running.pid)
            finally:
                running.terminate()


def _said(lines: Iterator[str], opening: str) -> str:
    """What follows in the first line that opens like this; raises ToolError when the gateway ends before."""
    line = next((line for line in lines if line.startswith(opening)), None)
    if line is None:
        raise ToolError("the gateway did not start")
    return line.removeprefix(opening).strip()


def locust(arguments: Sequence[str], key: str = "", output: int | None = None) -> int:
    """Its exit code; `output` is where what it prints goes, if not to the terminal."""
    words = [sys.executable, "-m", "locust", "--locustfile", str(LOCUSTFILE), *options(arguments)]
    environment = {**os.environ, **({"TICKWIRE_LOAD_KEY": key} if key else {})}
    return subprocess.run(words, check=False, env=environment, stdout=output, stderr=output).returncode  # noqa: S603  # ours


def options(arguments: Sequence[str]) -> list[str]:
    """Of locust: without a terminal's user, unless its web UI is asked for, which starts the users then and is shown to
    this machine alone."""
    asks_web = any(each.startswith(WEB) for each in arguments)
    ways = ["--web-host", "127.0.0.1"] if asks_web else ["--headless"]
    return [*ways, *DEFAULTS, *(each for each in arguments if each != WEB_UI)]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
