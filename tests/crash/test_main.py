"""What `make crash` prints at its end can be understood without its source."""

from __future__ import annotations

import pytest

from tests.crash.__main__ import show
from tests.crash.plan import plan_of
from tests.crash.run import Told


def test_deaths_and_kills_are_told_apart(capsys: pytest.CaptureFixture[str]) -> None:
    one = Told(plan_of(1, 0), 3, [("send.asked", "gateway"), ("fill.heard", "backend")], 5, 4, 1, [])
    show([one, one], 0)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "2 runs, 10 orders, 8 fills, 0 runs with a disagreement"
    assert lines[1] == "6 deaths: a gateway was killed, and another one went on with its database"
    assert lines[2].startswith("4 kills at a step (2 pairs of a step and a victim): ")
    assert lines[4] == "2 requests were carried out after whoever sent them had died"
    assert lines[5].startswith("never reached, in 2 runs of this seed: ")
    assert "send.asked gateway" not in lines[5]
    assert "send.asked backend" in lines[5]
