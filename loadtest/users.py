"""`make users`: a demo gateway and locust's users against it, each a process of its own.

Holds how the two are started and ended; what users do is in locustfile.py. Arguments go to locust; with `--host`
nothing is started here, and the users go to that gateway.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

LOCUSTFILE = Path(__file__).with_name("locustfile.py")
LISTENS = "The gateway listens on "
DEFAULTS = ("--users", "100", "--spawn-rate", "50", "--run-time", "20s")


def main(arguments: Sequence[str]) -> int:
    """locust's exit code: 1 when a request failed."""
    if "--host" in arguments:
        return locust(arguments)
    command = [sys.executable, "-m", "gateway.cli", "demo", "--port", "0", "--symbols", "2", "--rate", "50"]
    command += ["--no-orders"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as demo:  # noqa: S603  # ours
        try:
            assert demo.stdout is not None
            address = next((line for line in demo.stdout if line.startswith(LISTENS)), None)
            if address is None:
                sys.exit("the gateway did not start")
            host = address.removeprefix(LISTENS).split(";", maxsplit=1)[0]
            return locust(["--host", f"http://{host}", *arguments])
        finally:
            demo.terminate()


def locust(arguments: Sequence[str]) -> int:
    words = [sys.executable, "-m", "locust", "--locustfile", str(LOCUSTFILE), "--headless", *DEFAULTS, *arguments]
    return subprocess.run(words, check=False).returncode  # noqa: S603  # our own command line


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
