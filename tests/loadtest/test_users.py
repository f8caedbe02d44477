"""`make users` end to end, in a process of its own: importing locust patches every socket of a process."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def run(tmp_path: Path, *arguments: str) -> tuple[int, dict[tuple[str, str], dict[str, str]]]:
    """The exit code and locust's statistics by (type, name)."""
    words = ["--users", "8", "--spawn-rate", "8", "--run-time", "5s", "--csv", str(tmp_path / "load"), *arguments]
    ended = subprocess.run([sys.executable, "-m", "loadtest.users", *words], cwd=ROOT, capture_output=True, check=False)
    with (tmp_path / "load_stats.csv").open() as table:
        return ended.returncode, {(row["Type"], row["Name"]): row for row in csv.DictReader(table)}


def test_users_stream_and_every_number_is_checked(tmp_path: Path) -> None:
    code, rows = run(tmp_path)
    assert code == 0
    assert rows["", "Aggregated"]["Failure Count"] == "0"
    updates = sum(int(row["Request Count"]) for (kind, _), row in rows.items() if kind == "update")
    assert updates > 50
    assert any(kind == "subscribe" for kind, _ in rows)


def test_a_gateway_that_is_not_there_is_a_failure(tmp_path: Path) -> None:
    code, rows = run(tmp_path, "--host", "http://127.0.0.1:1")
    assert code == 1
    assert int(rows["", "Aggregated"]["Failure Count"]) > 0
