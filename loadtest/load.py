"""`make load`: runs scenarios of targets.toml and ends with 1 when a limit was missed.

Holds the command line: what is run, what is kept, and the exit code. Must not know how a scenario is run.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from loadtest import scenarios, targets
from loadtest.bench import machine, tools
from loadtest.bench.report import facts, table
from loadtest.outcome import Outcome
from loadtest.swarm import ToolError, raise_open_files

TARGETS = Path(__file__).with_name("targets.toml")
FILES_BESIDE_CONNECTIONS = 200
CONNS_MAX = 1_000_000
EXIT_USAGE = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """0 when every limit that could be judged is met, 1 when one is missed or a scenario could not be run, 2 when
    the command line or the file of targets asks for what is not there."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    asked = _arguments(words)
    try:
        file = Path(asked.targets)
        chosen = targets.chosen(targets.parse(file.read_text(encoding="utf-8")), asked.scenarios)
        chosen = [targets.lasting(scenario, asked.minutes) for scenario in chosen]
        return _run(chosen, asked, f"python -m loadtest.load {' '.join(words)}".strip())
    except (targets.TargetsError, OSError) as error:
        _say(str(error))
        return EXIT_USAGE


def _run(chosen: list[targets.Scenario], asked: argparse.Namespace, command: str) -> int:
    open_files = raise_open_files()
    found = machine.describe(open_files)
    have = tools.find()
    conns_max = min(asked.conns, open_files - FILES_BESIDE_CONNECTIONS)
    how = scenarios.How(have, asked.seconds, conns_max, _say)
    outcomes, failed = [], []
    for scenario in chosen:
        try:
            outcome = scenarios.run(scenario, how)
        except ToolError as error:
            failed.append(f"{scenario.name} could not be run: {error}")
            _say(failed[-1])
            continue
        outcomes.append(replace(outcome, verdicts=targets.judge(scenario, outcome.figures)))
        sys.stdout.write(f"{_shown(outcomes[-1])}\n\n")
        sys.stdout.flush()
    notes = [*have.notes, *failed]
    sys.stdout.write("\n\n".join([facts(command, found), _summary(outcomes), *(f"- {note}" for note in notes)]) + "\n")
    _keep({"machine": asdict(found), "command": command, "notes": notes, "outcomes": [asdict(o) for o in outcomes]})
    return 1 if failed or any(outcome.missed for outcome in outcomes) else 0


def _shown(outcome: Outcome) -> str:
    rows = [tuple(map(str, (verdict.goal, verdict.reached, verdict.word))) for verdict in outcome.verdicts]
    parts = [f"## {outcome.scenario}: {outcome.title}", table(("limit", "reached", "verdict"), rows)]
    return "\n\n".join([*parts, *(f"- {note}" for note in outcome.notes)])


def _summary(outcomes: list[Outcome]) -> str:
    rows = [(each.scenario, v.goal, v.reached, v.word) for each in outcomes for v in each.verdicts]
    return table(("scenario", "limit", "reached", "verdict"), rows)


def _arguments(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m loadtest.load", description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help="of targets.toml; its short ones by default")
    parser.add_argument("--seconds", type=float, default=4.0, help="how long each measurement of a workload lasts")
    parser.add_argument("--minutes", type=float, help="how long a scenario lasts that is measured in minutes")
    parser.add_argument("--conns", type=int, default=CONNS_MAX, help="at most this many connections")
    parser.add_argument("--targets", default=str(TARGETS), help="another file of scenarios and limits")
    return parser.parse_args(words)


def _keep(document: dict[str, object]) -> None:
    path = tools.results_folder() / f"load-{time.strftime('%Y%m%d-%H%M%S')}.json"
    path.write_text(json.dumps(document, indent=1), encoding="utf-8")
    _say(f"raw figures in {path}")


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")


if __name__ == "__main__":
    sys.exit(main())
