"""What the kernel gave a process: counted up while it works, and there as long as nobody has waited for it."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time

import pytest

from loadtest import cpu
from loadtest.cpu import Given, Shares


def test_shares_are_of_the_time_between_two_readings() -> None:
    assert cpu.shares(Given(10.0, 1.0, 0.5), Given(14.0, 3.0, 1.5)) == Shares(0.5, 0.25)


def test_what_a_process_used_is_counted() -> None:
    before, used_s = cpu.given(), time.thread_time()
    while time.thread_time() < used_s + 0.1:
        pass
    assert cpu.given().cpu_s - before.cpu_s > 0.05  # the kernel brings it up to date with its ticks


def test_one_that_has_ended_can_be_read_until_it_is_waited_for() -> None:
    work = "sum(range(10**6))"
    with subprocess.Popen([sys.executable, "-S", "-c", work]) as running:
        ends = os.pidfd_open(running.pid)
        select.select([ends], [], [])
        os.close(ends)
        assert cpu.given(running.pid).cpu_s > cpu.newborn().cpu_s
    with pytest.raises(FileNotFoundError):
        cpu.given(running.pid)


def test_one_that_shares_its_core_waits_for_it() -> None:
    """Two on one core that begin at once and do not rest: while one has it the other waits."""
    pinned = "import os, sys, time; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})"
    works = f"{pinned}\nprint(flush=True); sys.stdin.read()\nwhile time.process_time() < 0.2: pass"
    words = [sys.executable, "-S", "-c", works]
    begin, begins = os.pipe()
    with (
        subprocess.Popen(words, stdin=begin, stdout=subprocess.PIPE) as first,
        subprocess.Popen(words, stdin=begin, stdout=subprocess.PIPE) as second,
    ):
        os.close(begin)
        for each in (first, second):
            assert each.stdout is not None
            each.stdout.readline()
        before = cpu.given(first.pid).waited_s + cpu.given(second.pid).waited_s
        os.close(begins)  # which both hear of
        for each in (first, second):
            ends = os.pidfd_open(each.pid)
            select.select([ends], [], [])
            os.close(ends)
        assert cpu.given(first.pid).waited_s + cpu.given(second.pid).waited_s - before > 0.05
