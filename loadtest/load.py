"""`make load`: runs scenarios of targets.toml and ends with 1 when a limit was missed.

Holds the command line: what is run, what is kept, and the exit code. Must not know how a scenario is run.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from loadtest import report, runs, scenarios, targets
from loadtest.bench import machine, tools
from loadtest.page import page
from loadtest.runs import Run
from loadtest.swarm import ToolError, raise_open_files

TARGETS = Path(__file__).with_name("targets.toml")
FILES_BESIDE_CONNECTIONS = 200
CONNS_MAX = 1_000_000
EXIT_USAGE = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """0 when every limit that could be judged is met, 1 when one is missed or a scenario could not be run, 2 when
    the command line or the file of targets asks for what is not there, or for a file that cannot be written."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    asked = _arguments(words)
    try:
        file = Path(asked.targets)
        chosen = targets.chosen(targets.parse(file.read_text(encoding="utf-8")), asked.scenarios)
        chosen = [targets.lasting(scenario, asked.minutes) for scenario in chosen]
        if asked.page:
            Path(asked.page).open("a", encoding="utf-8").close()  # rather told now than after the run
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
        _show(report.section(outcomes[-1]))
    run = Run(found, command, outcomes, [*have.notes, *failed])
    _show(report.summary(run))
    _keep(run, Path(asked.report) if asked.report else tools.results_folder())
    if asked.page:
        _write(Path(asked.page), report.record(run))
    return 1 if failed or any(outcome.missed for outcome in outcomes) else 0


def _arguments(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m loadtest.load", description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help="of targets.toml; its short ones by default")
    parser.add_argument("--seconds", type=float, default=4.0, help="how long each measurement of a workload lasts")
    parser.add_argument("--minutes", type=float, help="how long a scenario lasts that is measured in minutes")
    parser.add_argument("--conns", type=int, default=CONNS_MAX, help="at most this many connections")
    parser.add_argument("--report", help="the folder of page, tables and raw figures, instead of the user's cache")
    parser.add_argument("--page", help="the file that is to say which limits were met, as docs/targets.md")
    parser.add_argument("--targets", default=str(TARGETS), help="another file of scenarios and limits")
    return parser.parse_args(words)


def _keep(run: Run, folder: Path) -> None:
    """Page, tables and raw figures, side by side."""
    folder.mkdir(parents=True, exist_ok=True)
    name = f"load-{time.strftime('%Y%m%d-%H%M%S')}"
    for ending, text in (("html", page(run)), ("md", report.markdown(run)), ("json", runs.to_json(run))):
        _write(folder / f"{name}.{ending}", text)


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
    _say(f"written to {path}")


def _show(text: str) -> None:
    sys.stdout.write(f"{text}\n\n")
    sys.stdout.flush()


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")


if __name__ == "__main__":
    sys.exit(main())
