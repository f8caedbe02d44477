"""A terminal behind a real RPyC server, in a process of its own that can be killed and started again."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import rpyc

from tests.oms.venues import terminal

START_S = 30.0


class TerminalServer:
    """See the module. Its terminal forgets everything with each start."""

    def __init__(self) -> None:
        self.port = 0
        self._process: subprocess.Popen[str] | None = None

    @property
    def options(self) -> dict[str, Any]:
        return {"host": "127.0.0.1", "port": self.port}

    def start(self, code: str = "") -> None:
        """On the port that it had, as this has moved the terminal."""
        program = (sys.executable, str(Path(terminal.__file__)), str(self.port), code)
        self._process = subprocess.Popen(program, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())

    def kill(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.communicate()

    def do(self, code: str) -> Any:
        """Run a line in the server's process; `bench` is the terminal. What `told` is after it."""
        connection = rpyc.classic.connect("127.0.0.1", self.port)
        try:
            connection.execute("from terminal import *\nimport MetaTrader5\nbench, told = MetaTrader5.bench, None")
            connection.execute(code)
            return connection.eval("told")
        finally:
            connection.close()
