"""How many users there are at each moment of a run of locust.

Pure: time and sizes are handed in. Must not know locust, nor what users do.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

STORM_AT: Final = (1 / 3, 2 / 3)  # of the time, everybody goes, and comes back at once
STORM_AWAY_S: Final = 1.0
RAMP_STEPS: Final = 10
DAY_LEAST_SHARE: Final = 0.2  # of the users are there all day
SESSIONS: Final = 2  # a day, each with a peak
COME_WITHIN_S: Final = 10.0  # who stays for long
CHURN_EVERY_S: Final = 60.0
CHURN_AWAY_S: Final = 5.0
CHURN_SHARE: Final = 0.1  # of the users go in each churn


def steady(_at_s: float, _of_s: float) -> float:
    """Everybody, all the time."""
    return 1.0


def ramp(at_s: float, of_s: float) -> float:
    """A tenth more with each tenth of the time: where the first limit is missed is how many the machine bears."""
    return min(RAMP_STEPS, math.floor(RAMP_STEPS * at_s / of_s) + 1) / RAMP_STEPS


def storm(at_s: float, of_s: float) -> float:
    """Everybody goes twice, for a second, and comes back at once."""
    return 0.0 if any(begins * of_s <= at_s < begins * of_s + STORM_AWAY_S for begins in STORM_AT) else 1.0


def day(at_s: float, of_s: float) -> float:
    """A trading day in the time there is: few users, two peaks, few users."""
    return DAY_LEAST_SHARE + (1.0 - DAY_LEAST_SHARE) * math.sin(math.pi * SESSIONS * at_s / of_s) ** 2


def account(at_s: float, of_s: float) -> float:
    """Everybody comes within ten seconds, or a tenth of the time, and stays: pages that are opened in the morning."""
    return min(1.0, at_s / min(COME_WITHIN_S, of_s / RAMP_STEPS))


def soak(at_s: float, of_s: float) -> float:
    """The same, but at the end of each minute a tenth goes for five seconds, and others come: churn, for hours."""
    away = at_s % CHURN_EVERY_S >= CHURN_EVERY_S - CHURN_AWAY_S
    return account(at_s, of_s) * (1.0 - CHURN_SHARE if away else 1.0)


SHAPES: Final[dict[str, Callable[[float, float], float]]] = {
    "steady": steady, "ramp": ramp, "storm": storm, "day": day, "account": account, "soak": soak,
}  # fmt: skip
AT_ONCE: Final = ("account", "soak")  # the shape says how many come in a second


def users_at(shape: str, at_s: float, of_s: float, users: int, spawn_per_s: float) -> tuple[int, float]:
    """How many there are to be, and how many may come or go a second: in a storm all of them at once, and as
    many as the shape says where it is the shape that says so."""
    share = SHAPES[shape](at_s, of_s)
    at_once = shape in AT_ONCE or (shape == "storm" and at_s >= STORM_AT[0] * of_s)
    rate = float(users) if at_once else spawn_per_s
    return round(users * share), max(rate, 1.0)
