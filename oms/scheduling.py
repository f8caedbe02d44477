"""How the kernel shares a core: whoever works for a moment at a time need not wait for who works long.

Holds one request to Linux's scheduler. Must not know which process that is good for.
"""

from __future__ import annotations

import ctypes
import platform
import sys
from collections.abc import Callable
from typing import Final

SLICE_NS: Final = 100_000  # the shortest there is: sched_setattr(2) has 0.1 to 100 ms
NUMBERS: Final = {"x86_64": (314, 315), "aarch64": (274, 275)}  # of the calls sched_setattr and sched_getattr
SCHED_OTHER: Final = 0


class Attributes(ctypes.Structure):
    """`struct sched_attr` of sched_setattr(2)."""

    _fields_ = (
        ("size", ctypes.c_uint32),
        ("policy", ctypes.c_uint32),
        ("flags", ctypes.c_uint64),
        ("nice", ctypes.c_int32),
        ("priority", ctypes.c_uint32),
        ("runtime", ctypes.c_uint64),  # of an ordinary process its slice, ns; 0 where the kernel has none
        ("deadline", ctypes.c_uint64),
        ("period", ctypes.c_uint64),
    )


def attributes(pid: int) -> Attributes | None:
    """Of a process; None where there is no such, or the system does not tell."""
    held = Attributes()
    found = _calls()
    return held if found and found[1](pid, ctypes.byref(held), ctypes.sizeof(held), 0) == 0 else None


def take_short_turns(pid: int) -> bool:
    """Have a process, and those that it starts from now on, use a core for 0.1 ms at a time; whether it is so.

    It gets no more of the core for that, but is let in when it wakes, before who has longer turns has ended its own.
    Needs CAP_SYS_NICE for a process of another user, root too. Linux before 6.12 does as before.
    """
    held, found = attributes(pid), _calls()
    if held is None or found is None or held.policy != SCHED_OTHER:
        return False
    held.flags, held.runtime = 0, SLICE_NS
    if found[0](pid, ctypes.byref(held), 0) != 0:
        return False
    after = attributes(pid)
    return after is not None and after.runtime == SLICE_NS


def _calls() -> tuple[Callable[..., int], Callable[..., int]] | None:
    """What sets attributes, and what gets them."""
    numbers = NUMBERS.get(platform.machine()) if platform.system() == "Linux" else None
    if numbers is None or sys.maxsize < 2**32:  # a program of 32 bits has other numbers on the same machine
        return None
    call = ctypes.CDLL(None).syscall

    def of(number: int) -> Callable[..., int]:
        return lambda *given: int(call(number, *given))

    return of(numbers[0]), of(numbers[1])
