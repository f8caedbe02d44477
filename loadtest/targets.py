"""Scenarios and their limits: reads the text of targets.toml, and holds what was measured against it.

Pure: the text and the figures are handed in. Must not know how a scenario is run, only which options its tool takes.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, NamedTuple

from loadtest import bottleneck

TOOLS: Final[Mapping[str, Mapping[str, type]]] = {  # what runs a scenario -> its options
    "bench": {},
    "mixed": {
        **dict.fromkeys(("conns", "slow", "stalled", "reconnecting", "resuming", "resubscribing"), int),
        **dict.fromkeys(("programs", "owners", "symbols"), int),
        **dict.fromkeys(("rate", "faults_every_s", "minutes"), float),
    },
    "account": {"conns": int, "minutes": float},
    "scaling": {},
    "workers": {},
    "users": {"users": int, "spawn_per_s": float, "shape": str, "minutes": float},
}
UNITS: Final = ("ms", "us", "s", "share", "ratio", "count", "KiB", "KiB_per_h", "per_s")
KEYS: Final = ("title", "tool", "short", "options", "at_least", "at_most", "goal")
GOAL_KEYS: Final = ("at_least", "at_most", "shown_in")
NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9-]*")

Figures = Mapping[str, float | None]  # None: it could not be measured here


class TargetsError(Exception):
    """targets.toml says something that cannot be, or asks for what its tool does not measure."""


@dataclass(frozen=True)
class Goal:
    """What is aimed at, which fails nothing; `shown_in` is the page that shows what bounds a figure short of it."""

    at_least: Mapping[str, float] = field(default_factory=dict)
    at_most: Mapping[str, float] = field(default_factory=dict)
    shown_in: str = ""


@dataclass(frozen=True)
class Scenario:
    """One table of the file."""

    name: str
    title: str
    tool: str
    short: bool
    options: Mapping[str, Any]
    at_least: Mapping[str, float]
    at_most: Mapping[str, float]
    goal: Goal = Goal()


class Verdict(NamedTuple):
    """One limit and what became of it, or one goal; `met` is None when it could not be judged."""

    goal: str
    reached: str
    met: bool | None
    is_limit: bool = True  # a goal fails nothing
    shown_in: str = ""
    of_short_client: bool = False  # its figure is of a client that was itself the bottleneck

    @property
    def word(self) -> str:
        if self.met is None:
            return "not judged"
        if self.is_limit:
            return "met" if self.met else f"MISSED: {bottleneck.WITH_MISSED}" if self.of_short_client else "MISSED"
        if self.met:
            return "reached"
        return f"not reached: {self.shown_in}" if self.shown_in else "not reached"


def parse(text: str) -> dict[str, Scenario]:
    """Every scenario of the file by its name, in the file's order.

    Raises TargetsError: no TOML, a key or a tool that is not known, a limit without a unit or that is no number.
    """
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise TargetsError(f"targets.toml: {error}") from error
    return {name: _scenario(name, table) for name, table in tables.items()}


def _scenario(name: str, table: Any) -> Scenario:
    if not NAME.fullmatch(name):
        raise TargetsError(f"[{name}]: a scenario's name is letters, digits and -")
    if not isinstance(table, dict):
        raise TargetsError(f"{name}: a scenario is a table, [{name}]")
    _known(f"[{name}]", table, KEYS)
    tool, title, short = table.get("tool"), table.get("title"), table.get("short", False)
    if not isinstance(tool, str) or tool not in TOOLS:
        raise TargetsError(f"[{name}] tool: one of {', '.join(TOOLS)}, not {tool!r}")
    if not isinstance(title, str) or not title:
        raise TargetsError(f"[{name}] title: a sentence that says what is done")
    if not isinstance(short, bool):
        raise TargetsError(f"[{name}] short: true or false, not {short!r}")
    at_least, at_most = (_limits(f"[{name}] {side}", table.get(side, {})) for side in ("at_least", "at_most"))
    if not at_least and not at_most:
        raise TargetsError(f"[{name}]: at_least or at_most must say what is to be reached")
    goal = _goal(name, table.get("goal", {}), at_least, at_most)
    return Scenario(name, title, tool, short, _options(name, tool, table.get("options", {})), at_least, at_most, goal)


def _goal(name: str, given: Any, at_least: Mapping[str, float], at_most: Mapping[str, float]) -> Goal:
    """What is aimed at has a limit, too; where that is looser, a page says why."""
    where = f"[{name}] goal"
    if not isinstance(given, dict):
        raise TargetsError(f"{where}: a table")
    _known(where, given, GOAL_KEYS)
    shown_in = given.get("shown_in", "")
    if not isinstance(shown_in, str):
        raise TargetsError(f"{where}: shown_in must be a page, not {shown_in!r}")
    aims = {side: _limits(f"{where} {side}", given.get(side, {})) for side in ("at_least", "at_most")}
    goal = Goal(**aims, shown_in=shown_in)
    for aimed, limits in ((goal.at_least, at_least), (goal.at_most, at_most)):
        if unlimited := [figure for figure in aimed if figure not in limits]:
            raise TargetsError(f"{where}: {', '.join(unlimited)} has no limit")
    short_of = [figure for figure, aim in goal.at_least.items() if aim > at_least[figure]]
    short_of += [figure for figure, aim in goal.at_most.items() if aim < at_most[figure]]
    if short_of and not shown_in:
        raise TargetsError(f"{where}: shown_in must name the page that shows what bounds {', '.join(short_of)}")
    return goal


def _known(where: str, table: Mapping[str, Any], known: tuple[str, ...]) -> None:
    if unknown := [key for key in table if key not in known]:
        raise TargetsError(f"{where}: {', '.join(unknown)} is not known: there are {', '.join(known) or 'none'}")


def _options(name: str, tool: str, given: Any) -> dict[str, Any]:
    """All that the tool takes, none left out: what is run stands in the file, not in a default elsewhere."""
    where, wanted = f"[{name}] options", TOOLS[tool]
    if not isinstance(given, dict):
        raise TargetsError(f"{where}: a table")
    _known(where, given, tuple(wanted))
    for option, kind in wanted.items():
        value = given.get(option)
        fits = isinstance(value, (int, float) if kind is float else kind) and not isinstance(value, bool)
        if not fits or (isinstance(value, (int, float)) and value < 0):
            raise TargetsError(f"{where}: {option} must be {_WORDS[kind]}, not {value!r}")
    return given


_WORDS: Final = {int: "a whole number of 0 or more", float: "a number of 0 or more", str: "a text"}


def _limits(where: str, given: Any) -> dict[str, float]:
    if not isinstance(given, dict):
        raise TargetsError(f"{where}: a table of figures and their limits")
    for figure, limit in given.items():
        if not any(figure.endswith(f"_{unit}") for unit in UNITS):
            raise TargetsError(f"{where}: {figure} must end with its unit, one of {', '.join(UNITS)}")
        if isinstance(limit, bool) or not isinstance(limit, (int, float)):
            raise TargetsError(f"{where}: {figure} must be a number, not {limit!r}")
    return {figure: float(limit) for figure, limit in given.items()}


def lasting(scenario: Scenario, minutes: float | None) -> Scenario:
    """The scenario with another length; TargetsError for one that has none."""
    if minutes is None:
        return scenario
    if "minutes" not in scenario.options:
        raise TargetsError(f"[{scenario.name}] is not measured in minutes")
    return replace(scenario, options={**scenario.options, "minutes": minutes})


def chosen(scenarios: Mapping[str, Scenario], names: list[str]) -> list[Scenario]:
    """The named scenarios in the order they were named, or the short ones; an unknown name raises TargetsError."""
    if unknown := [name for name in names if name not in scenarios]:
        raise TargetsError(f"no scenario {', '.join(unknown)}: there are {', '.join(scenarios)}")
    return [scenarios[name] for name in names] or [each for each in scenarios.values() if each.short]


def judge(scenario: Scenario, figures: Figures) -> list[Verdict]:
    """Each limit in turn, then each goal. A figure that the tool does not know raises TargetsError: a limit nobody
    holds is none. A client that was the bottleneck excuses nothing: it is said with what was missed."""
    short = bool(bottleneck.told(figures))
    held = _held(scenario.name, scenario.at_least, scenario.at_most, figures)
    limits = [each._replace(of_short_client=short) for each in held]
    goals = _held(scenario.name, scenario.goal.at_least, scenario.goal.at_most, figures)
    return limits + [
        each._replace(goal=f"goal: {each.goal}", is_limit=False, shown_in=scenario.goal.shown_in) for each in goals
    ]


def _held(
    name: str, at_least: Mapping[str, float], at_most: Mapping[str, float], figures: Figures
) -> Iterator[Verdict]:
    for sign, limits in ((">=", at_least), ("<=", at_most)):
        for figure, limit in limits.items():
            if figure not in figures:
                raise TargetsError(f"[{name}]: no {figure} is measured: there are {', '.join(figures)}")
            value, goal = figures[figure], f"{figure} {sign} {number(limit)}"
            if value is None:
                yield Verdict(goal, "not measured", None)
            else:  # a NaN misses
                yield Verdict(goal, number(value), value >= limit if sign == ">=" else value <= limit)


def number(value: float) -> str:
    """Four figures that count, and no more zeros than needed."""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.4g}"
