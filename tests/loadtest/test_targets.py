"""The file of scenarios: what is refused and how clearly, and what meets a limit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.limits import Limits
from loadtest import crowd, mixed, observed, targets
from loadtest.bench import figures, storm
from loadtest.bench.orders import NAME as ORDERS
from loadtest.bench.scaling import AXES
from loadtest.bench.workloads import WORKLOADS
from loadtest.shapes import SHAPES
from loadtest.targets import TargetsError, Verdict
from tests.conftest import ROOT
from tests.docs_parts import anchors
from tests.loadtest import test_observed
from tests.loadtest.bench import made
from tests.loadtest.test_mixed import MIX, SEEN

FILE = Path(targets.__file__).with_name("targets.toml")
GOOD = '[A]\ntitle = "a title"\ntool = "bench"\nat_most = { p99_ms = 20, lost_count = 0 }\n'


def test_the_file_is_valid_and_has_every_workload() -> None:
    scenarios = targets.parse(FILE.read_text(encoding="utf-8"))
    assert {name for name, each in scenarios.items() if each.tool == "bench"} == {*WORKLOADS, ORDERS}
    assert all(scenarios[name].title == row.title for name, row in WORKLOADS.items())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[A", "targets.toml: "),
        ("A = 1", "A: a scenario is a table"),
        ('["a b"]', "[a b]: a scenario's name"),
        (GOOD + "at_lest = {}", "[A]: at_lest is not known: there are title,"),
        (GOOD.replace('"bench"', '"magic"'), "[A] tool: one of bench"),
        (GOOD.replace("title", "short = false #"), "[A] title: "),
        (GOOD + 'short = "yes"', "[A] short: true or false, not 'yes'"),
        (GOOD.replace("at_most", "#"), "[A]: at_least or at_most must say"),
        (GOOD + "at_least = 3", "[A] at_least: a table"),
        (GOOD.replace("p99_ms", "p99"), "[A] at_most: p99 must end with its unit, one of ms,"),
        (GOOD.replace("20", '"20"'), "[A] at_most: p99_ms must be a number, not '20'"),
        (GOOD.replace("20", "true"), "[A] at_most: p99_ms must be a number, not True"),
        (GOOD + "options = { minutes = 3 }", "[A] options: minutes is not known: there are none"),
        (GOOD + "options = 3", "[A] options: a table"),
        (GOOD + "goal = 3", "[A] goal: a table"),
        (GOOD + "goal = { at_mots = {} }", "[A] goal: at_mots is not known: there are at_least, at_most, shown_in"),
        (GOOD + "goal = { at_most = { p99 = 3 } }", "[A] goal at_most: p99 must end with its unit"),
        (GOOD + "goal = { at_most = { p50_ms = 3 } }", "[A] goal: p50_ms has no limit"),
        (GOOD + "goal = { at_least = { p99_ms = 3 } }", "[A] goal: p99_ms has no limit"),
        (GOOD + "goal = { at_most = { p99_ms = 19 } }", "[A] goal: shown_in must name the page"),
        (GOOD + "goal = { shown_in = 3 }", "[A] goal: shown_in must be a page, not 3"),
    ],
)
def test_what_cannot_be_is_refused_and_named(text: str, said: str) -> None:
    with pytest.raises(TargetsError) as refused:
        targets.parse(text)
    assert str(refused.value).startswith(said)


@pytest.mark.parametrize("given", ["{}", "{ conns = -1 }", "{ conns = 1.5 }", "{ conns = true }"])
def test_an_option_is_there_and_of_its_type(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(targets, "TOOLS", {"bench": {"conns": int}})
    with pytest.raises(TargetsError, match=r"\[A\] options: conns must be a whole number"):
        targets.parse(f"{GOOD}options = {given}")
    assert targets.parse(f"{GOOD}options = {{ conns = 3 }}")["A"].options == {"conns": 3}


def test_every_limit_of_the_file_is_of_what_its_tool_measures() -> None:
    named = targets.parse(FILE.read_text(encoding="utf-8")).values()
    known = {"users": set(crowd.figures([], 1.0)), "mixed": set(mixed.figures(MIX, SEEN))}
    known["account"] = set(observed.figures(test_observed.ASKED, test_observed.CAME, test_observed.BEFORE, []))
    known["F"] = set(storm.figures(made.STORM))
    for scenario in named:
        of_tool = known.get(scenario.tool) or known.get(scenario.name)  # those of other workloads are in test_report
        assert of_tool is None or {*scenario.at_least, *scenario.at_most} <= of_tool, scenario.name


CUT: dict[str, Callable[[float], dict[str, float | None]]] = {  # by tool: what it measures with so many connections
    "bench": lambda conns: figures.of_workload(made.result("A", replace(made.FIGURES, conns=int(conns)))),
    "mixed": lambda conns: mixed.figures(replace(MIX, conns=int(conns)), SEEN),
    "account": lambda conns: observed.figures(
        replace(test_observed.ASKED, conns=int(conns)), test_observed.CAME, test_observed.BEFORE, []
    ),
}


def test_a_scenario_that_was_cut_down_misses_a_limit() -> None:
    named = targets.parse(FILE.read_text(encoding="utf-8"))
    whole = {name: each.at_least.get("conns_count") for name, each in named.items() if each.tool in CUT}
    of_options = {name: each.options["conns"] for name, each in named.items() if each.tool in {"mixed", "account"}}
    of_workloads = {name: row.conns for name, row in WORKLOADS.items()} | {"F": 11_000}
    assert whole == of_options | of_workloads | {"G": None, "H": None}  # which have few, and are never cut
    for name, conns in whole.items():
        if conns is not None:
            alone = replace(named[name], at_least={"conns_count": conns}, at_most={}, goal=targets.Goal())
            enough, cut = (targets.judge(alone, CUT[alone.tool](count)) for count in (conns, conns - 1))
            assert (enough[0].met, cut[0].met) == (True, False), name


def test_scaling_without_all_of_its_points_misses_a_limit() -> None:
    named = targets.parse(FILE.read_text(encoding="utf-8"))
    assert named["scaling"].at_least["points_count"] == sum(len(axis.points) for axis in AXES)


def test_a_stalled_reader_may_take_little_more_than_may_wait_for_it() -> None:
    stalled = targets.parse(FILE.read_text(encoding="utf-8"))["E"]
    waiting_kib = Limits().queue_append_bytes / 1024
    assert waiting_kib < stalled.at_most["memory_per_stalled_KiB"] < 1.2 * waiting_kib


def test_of_a_storm_s_updates_only_those_may_lack_that_are_late_as_it_ends() -> None:
    storm = targets.parse(FILE.read_text(encoding="utf-8"))["F"]
    late_share = storm.at_most["p99_ms"] / 1e3 / 8
    assert storm.at_least["delivered_share"] == pytest.approx(1 - late_share, abs=0.002)


def test_each_shape_of_locust_s_users_is_run_by_a_scenario() -> None:
    named = targets.parse(FILE.read_text(encoding="utf-8")).values()
    assert sorted(each.options["shape"] for each in named if each.tool == "users") == sorted(SHAPES)


def test_only_a_scenario_that_has_a_length_gets_another_one() -> None:
    scenarios = targets.parse(FILE.read_text(encoding="utf-8"))
    assert targets.lasting(scenarios["soak"], 60.0).options == {**scenarios["soak"].options, "minutes": 60.0}
    assert targets.lasting(scenarios["A"], None) == scenarios["A"]
    with pytest.raises(TargetsError, match=r"\[A\] is not measured in minutes"):
        targets.lasting(scenarios["A"], 1.0)


def test_named_scenarios_or_the_short_ones_are_chosen() -> None:
    scenarios = targets.parse(GOOD + GOOD.replace("[A]", "[B]") + "short = true")
    assert [each.name for each in targets.chosen(scenarios, [])] == ["B"]
    assert [each.name for each in targets.chosen(scenarios, ["B", "A"])] == ["B", "A"]
    with pytest.raises(TargetsError, match="no scenario Z: there are A, B"):
        targets.chosen(scenarios, ["A", "Z"])


@pytest.mark.parametrize(("p99_ms", "met"), [(20.0, True), (20.01, False), (float("nan"), False), (None, None)])
def test_a_limit_is_met_up_to_its_number(p99_ms: float | None, met: bool | None) -> None:
    scenario = targets.parse(GOOD)["A"]
    first, second = targets.judge(scenario, {"p99_ms": p99_ms, "lost_count": 0})
    assert first.met is met
    assert second == Verdict("lost_count <= 0", "0", met=True)


def test_at_least_is_the_other_way_around() -> None:
    scenario = targets.parse(GOOD.replace("at_most = { p99_ms = 20, lost_count = 0 }", "at_least = {x_share = 0.99}"))[
        "A"
    ]
    words = [targets.judge(scenario, {"x_share": value})[0].word for value in (1.0, 0.99, 0.98, None)]
    assert words == ["met", "met", "MISSED", "not judged"]


@pytest.mark.parametrize(
    ("p99_ms", "words"),
    [
        (9.0, ["met", "met", "reached"]),
        (10.1, ["met", "met", "not reached: docs/why.md"]),
        (20.1, ["MISSED", "met", "not reached: docs/why.md"]),
        (None, ["not judged", "met", "not judged"]),
    ],
)
def test_a_goal_stands_beside_its_limit_and_is_none(p99_ms: float | None, words: list[str]) -> None:
    aims = 'goal = { at_most = { p99_ms = 10 }, shown_in = "docs/why.md" }'
    verdicts = targets.judge(targets.parse(GOOD + aims)["A"], {"p99_ms": p99_ms, "lost_count": 0})
    assert [verdict.word for verdict in verdicts] == words
    assert [verdict.is_limit for verdict in verdicts] == [True, True, False]
    assert verdicts[2].goal == "goal: p99_ms <= 10"


def test_a_goal_as_hard_as_its_limit_needs_no_page() -> None:
    scenario = targets.parse(GOOD + "goal = { at_most = { p99_ms = 20 } }")["A"]
    assert [each.word for each in targets.judge(scenario, {"p99_ms": 21.0, "lost_count": 0})] == [
        "MISSED", "met", "not reached",
    ]  # fmt: skip


def test_every_page_that_shows_what_bounds_a_goal_is_there_with_its_heading() -> None:
    shown = [each.goal.shown_in for each in targets.parse(FILE.read_text(encoding="utf-8")).values()]
    named = [page.partition("#") for page in shown if page]
    assert named
    assert all(anchor for _file, _sign, anchor in named)
    assert [page for page in named if page[2] not in anchors(ROOT / page[0])] == []


def test_a_limit_on_what_is_not_measured_is_an_error() -> None:
    with pytest.raises(TargetsError, match="no lost_count is measured: there are p99_ms"):
        targets.judge(targets.parse(GOOD)["A"], {"p99_ms": 1.0})


@pytest.mark.parametrize(("waited", "word"), [(0.05, "MISSED"), (0.06, "MISSED: its client was the bottleneck")])
def test_what_is_missed_by_figures_of_a_bottlenecked_client_is_missed_and_says_so(waited: float, word: str) -> None:
    figures = {"p99_ms": 21.0, "lost_count": 0.0, "client_waited_share": waited}
    missed, met = targets.judge(targets.parse(GOOD)["A"], figures)
    assert (missed.met, missed.word, met.word) == (False, word, "met")
