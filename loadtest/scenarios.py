"""How each tool runs a scenario.

Knows the tools. Must not know limits, files or what is shown.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from loadtest import bottleneck, crowd, histogram, mixed, observed
from loadtest.bench import figures, orders, scaling, workers, workloads
from loadtest.bench.clients import Figures
from loadtest.bench.tools import Tools
from loadtest.crowd import Crowd
from loadtest.observed import Observation
from loadtest.outcome import Curve, Outcome
from loadtest.targets import Scenario

Say = Callable[[str], None]


@dataclass(frozen=True)
class How:
    """What the command line says of a run."""

    tools: Tools
    seconds: float  # of each measurement of `bench`
    conns_max: int
    say: Say


def run(scenario: Scenario, how: How) -> Outcome:
    """Run it to its end, and say whether the clients were what bounded it; raises ToolError when it cannot be run."""
    outcome = RUNNERS[scenario.tool](scenario, how)
    return replace(outcome, notes=[*outcome.notes, *bottleneck.told(outcome.figures)])


def _bench(scenario: Scenario, how: How) -> Outcome:
    if scenario.name == orders.NAME:
        sent = orders.measure(how.seconds, how.say)
        named, clients = figures.of_orders(sent), {f"clients: {each.conns}": each for each in (sent.alone, sent.crowd)}
        drawn = {name: histogram.curve(each.buckets) for name, each in clients.items() if each.buckets}
        return Outcome(scenario.name, scenario.title, named, drawn, sent.samples, sent.notes)
    plan = workloads.Plan(how.tools, how.seconds, how.conns_max, peers=False, say=how.say)
    measured = workloads.measure(scenario.name, plan)
    seen = {"tickwire": measured.gateway, "C floor": measured.floor, "tickwire, all reading": measured.unstalled}
    if measured.checked is not measured.gateway:
        seen["tickwire, every stream checked"] = measured.checked
    curves = {name: _curve(each) for name, each in (seen | measured.channels).items() if each is not None}
    watched = [each for each in (measured.gateway, *measured.channels.values()) if each is not None]
    return Outcome(
        scenario.name, scenario.title, figures.of_workload(measured), curves, watched[-1].samples, measured.notes
    )


def _curve(seen: Figures) -> Curve:
    """The histogram of our own client; of another one the four points that it tells."""
    if seen.buckets:
        return histogram.curve(seen.buckets)
    return histogram.told(seen.p50_ms, seen.p99_ms, seen.p999_ms, seen.max_ms)


def _mixed(scenario: Scenario, how: How) -> Outcome:
    mix = mixed.Mix(**scenario.options)
    conns, cut = _cut(mix.conns, how)
    came = mixed.measure(replace(mix, conns=conns), how.say)
    curves, notes = {"readers": came.curve}, [*cut, *came.notes]
    return Outcome(scenario.name, scenario.title, came.figures, curves, came.samples, notes)


def _account(scenario: Scenario, how: How) -> Outcome:
    asked = Observation(**scenario.options)
    conns, cut = _cut(asked.conns, how)
    came = observed.measure(replace(asked, conns=conns), how.say)
    return Outcome(scenario.name, scenario.title, came.figures, came.curves, came.samples, [*cut, *came.notes])


def _cut(conns: int, how: How) -> tuple[int, list[str]]:
    """As many as are allowed, and that they are fewer, if so."""
    allowed = min(conns, how.conns_max)
    return allowed, [f"cut to {allowed} connections"] if allowed < conns else []


def _scaling(scenario: Scenario, how: How) -> Outcome:
    plan = workloads.Plan(how.tools, scaling.SECONDS, how.conns_max, peers=False, say=how.say)
    grown = scaling.measure(plan)
    return Outcome(scenario.name, scenario.title, scaling.figures_of(grown), notes=scaling.notes_of(grown))


def _workers(scenario: Scenario, how: How) -> Outcome:
    plan = workloads.Plan(how.tools, workers.SECONDS, how.conns_max, peers=False, say=how.say)
    several = workers.measure(plan)
    return Outcome(scenario.name, scenario.title, workers.figures_of(several), notes=workers.notes_of(several))


def _users(scenario: Scenario, how: How) -> Outcome:
    came = crowd.measure(Crowd(**scenario.options), how.say)
    return Outcome(scenario.name, scenario.title, came.figures, came.curves, came.samples)


RUNNERS: dict[str, Callable[[Scenario, How], Outcome]] = {
    "bench": _bench,
    "mixed": _mixed,
    "account": _account,
    "scaling": _scaling,
    "workers": _workers,
    "users": _users,
}
