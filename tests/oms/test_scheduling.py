"""A process that is to take short turns does, and so do those that it starts; what cannot be is not asked for."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

from oms.scheduling import SLICE_NS, attributes, take_short_turns

ITS_CHILD = """
import subprocess, sys
sys.stdin.readline()
subprocess.run([sys.executable, "-c", "from oms.scheduling import attributes; print(attributes(0).runtime)"])
"""


def test_turns_are_short_of_a_process_and_of_who_it_starts() -> None:
    before = attributes(0)
    words = [sys.executable, "-c", ITS_CHILD]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        asked = take_short_turns(process.pid)
        after = attributes(process.pid)
        told, _ = process.communicate("\n")
    if not asked:
        pytest.skip("this kernel has no slices of a process's own")
    assert before is not None
    assert after is not None
    assert (after.runtime, after.nice, after.policy) == (SLICE_NS, before.nice, before.policy)
    assert int(told) == SLICE_NS
    ours = attributes(0)
    assert ours is not None
    assert ours.runtime == before.runtime, "nobody else's"


def test_a_process_that_is_not_there_is_not_asked() -> None:
    with subprocess.Popen(["true"]) as process:
        process.wait()
    assert attributes(process.pid) is None
    assert not take_short_turns(process.pid)


@pytest.mark.parametrize(
    ("of", "name", "said"),
    [(platform, "machine", lambda: "sparc"), (sys, "maxsize", 2**31 - 1)],
    ids=["sparc", "32 bits"],
)
def test_another_system_is_not_asked(monkeypatch: pytest.MonkeyPatch, of: object, name: str, said: object) -> None:
    monkeypatch.setattr(of, name, said)
    assert attributes(0) is None
    assert not take_short_turns(0)
