"""pgbench's script and what it says; `test_orders` runs it on a real server."""

from __future__ import annotations

from pathlib import Path

import pytest

from loadtest.bench import pgbench
from loadtest.bench.pgbench import Inserted, Rows
from loadtest.swarm import ToolError

SAID = """\
number of transactions actually processed: 4000
number of failed transactions: 0 (0.000%)
latency average = 15.552 ms
initial connection time = 100.000 ms
tps = 2057.629970 (without initial connection time)
"""


def test_a_script_inserts_rows_under_ids_of_their_own() -> None:
    command, event = Rows("oms_commands", "id", ":id"), Rows("oms_events", "id", ":id + 1")
    lines = pgbench.script([[command], [event]]).splitlines()
    assert lines[0] == "\\set n :n + 1"
    assert lines[2:] == ["BEGIN;", command.insert, "COMMIT;", "BEGIN;", event.insert, "COMMIT;"]
    assert command.insert == "INSERT INTO bench.oms_commands (id) VALUES (:id);"


def test_values_are_those_of_the_row_but_for_names_and_numbers() -> None:
    assert pgbench._value("id", "'7'", 2) == "CAST(:id AS bigint) * 16 + 2"
    assert pgbench._value("client_order_id", "'tw-1'", 0) == "'x' || :id"
    assert pgbench._value("order_id", "NULL", 0) == "NULL"
    assert pgbench._value("qty", "'0.01'", 0) == "'0.01'"
    assert pgbench._value("data", "'{\"a\":1}'", 0) == "E'{\"a\"\\0721}'"
    assert pgbench._value("data", "E'a\\\\:'", 0) == "E'a\\\\\\072'"


def test_figures_are_read_and_failures_told() -> None:
    assert pgbench.read(SAID, 32) == Inserted(32, 2057.62997, 15.552)
    for said in ("nothing", SAID.replace("transactions: 0", "transactions: 3")):
        with pytest.raises(ToolError):
            pgbench.read(said, 32)


def test_without_pgbench_it_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert pgbench.find().joinpath("pgbench").exists()
    monkeypatch.setattr(pgbench, "PACKAGES", ())
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolError, match="no pgbench"):
        pgbench.find()
