"""A made run, for tests of what is shown of one."""

from __future__ import annotations

from loadtest.outcome import Outcome, Sample
from loadtest.runs import Run
from loadtest.targets import Verdict
from tests.loadtest.bench.made import MACHINE

OUTCOME = Outcome(
    scenario="soak",
    title="many <readers>",
    figures={"p99_ms": 12.5, "lost_count": 0.0, "of_floor_ratio": None},
    curves={"readers": [(0.25, 1.0), (0.5, 2.0), (0.999, 10.0), (1.0, 20.0)]},
    samples=[Sample(1.0, 100.0, 0.25, 50_000), Sample(2.0, 110.0, 0.5, 51_200)],
    notes=["a </script> note"],
    verdicts=[
        Verdict("p99_ms <= 10", "12.5", met=False),
        Verdict("lost_count <= 0", "0", met=True),
        Verdict("of_floor_ratio <= 2", "not measured", met=None),
    ],
)
RUN = Run(MACHINE, "python -m loadtest.load soak", [OUTCOME], ["no C floor"])
