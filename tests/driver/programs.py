"""A program that looks for the driver in ccxt, and how one is run.

Must not know how it came there.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
PROGRAM = """
import sys
import ccxt.async_support as a
import ccxt
from ccxt import tickwire
assert tickwire is ccxt.tickwire and issubclass(tickwire, ccxt.Exchange)
assert "tickwire" in ccxt.exchanges and "tickwire" in a.exchanges
assert issubclass(a.tickwire, a.Exchange)
assert "ccxt.pro" not in sys.modules, "what a program does not use is not imported for it"
import ccxt.pro
assert "tickwire" in ccxt.pro.exchanges and issubclass(ccxt.pro.tickwire, a.Exchange)
print("found", ccxt.__spec__.loader.__class__.__name__, ccxt.__file__.endswith("__init__.py"))
"""


def python(code: str, *options: str) -> str:
    ended = subprocess.run(
        [sys.executable, *options, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout
