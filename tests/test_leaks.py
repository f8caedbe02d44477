"""The scan for secrets finds what it is there to find, wherever a test's output comes from."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from oms import keys, vault
from oms.token_keys import new_signing_key
from oms.tokens import Tokens
from tests.conftest import ROOT
from tests.leaks import VENUE_SECRET, leaked


def test_every_kind_of_secret_is_known() -> None:
    key, master_key = keys.make().text, vault.new_master_key()
    token = Tokens(new_signing_key(), started_s=0).issue(sub="ann", kid=1, accounts=None, scope="read", now_s=0).token
    vault.Vault([master_key]).seal(1, {"apiKey": "a public part", "secret": "a secret part", "password": "short"})
    for secret in (key, token, master_key, VENUE_SECRET, "a secret part"):
        assert secret in leaked(f'{{"event":"x","text":"before {secret}, after"}}')
    assert leaked("a public part, short, tw_0123456789ab, eyJ.a.b") == []


# One test each: what it does, and how it has to end.
FILE = """
import logging, subprocess, sys
import pytest, structlog
from oms import keys

KEY = keys.make().text

def test_print(): print(KEY)  # FAILED
def test_log(): logging.getLogger("x").warning("key %s", KEY)  # FAILED
def test_structlog(): structlog.get_logger("x").info("made", url=f"/v1/stream?token={KEY}")  # FAILED
def test_process(): subprocess.run([sys.executable, "-c", f"import sys; sys.exit({KEY!r})"])  # FAILED
def test_traceback(): logging.getLogger("x").error("failed", exc_info=ValueError(KEY))  # FAILED

@pytest.fixture
def before():
    print(KEY)

@pytest.fixture
def after():
    yield
    print(KEY)

def test_setup(before): pass  # ERROR
def test_teardown(after): pass  # ERROR
def test_read_by_the_test(capsys):  # PASSED
    print(KEY)
    assert KEY in capsys.readouterr().out
def test_part(): print(KEY[:15], "x-api-key", "?token=***")  # PASSED
"""


def test_a_test_that_lets_a_secret_be_seen_has_failed(tmp_path: Path) -> None:
    file = tmp_path / "test_leak.py"
    file.write_text(FILE)
    command = [sys.executable, "-m", "pytest", "-p", "tests.leaks", "-p", "no:cacheprovider", "-rA", str(file)]
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    ran = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False)
    ended = re.findall(r"^(FAILED|ERROR|PASSED) \S+::(\w+)", ran.stdout, re.MULTILINE)
    expected = re.findall(r"^def (test_\w+).*# (\w+)$", FILE, re.MULTILINE)
    assert len(expected) == 9
    for name, how in expected:
        assert (how, name) in ended, ran.stdout
    assert "a secret is in the captured stdout setup: tw_" in ran.stdout
