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


def test_users_stream_trade_and_ask_and_each_worker_has_a_swarm(tmp_path: Path) -> None:
    shape = ("--shape", "storm", "--users", "27", "--spawn-rate", "27")
    code, rows = run(tmp_path, *shape, "--processes", "2", "--swarm", "30")
    counts = {key: int(row["Request Count"]) for key, row in rows.items()}
    assert code == 0
    assert rows["", "Aggregated"]["Failure Count"] == "0"
    assert sum(number for (kind, _), number in counts.items() if kind == "update") > 50
    for wanted in (
        ("GET", "/api/ws/token"), ("connect", "first"), ("subscribe", "orders"), ("update", "orders"),
        ("command", "send_order"), ("command", "change_order"), ("command", "cancel_order"), ("ack", "orders"),
        ("POST", "/oms/commands"), ("GET", "/oms/orders/ID"), ("GET", "/api/ws/status"),
    ):  # fmt: skip
        assert counts.get(wanted, 0) > 0, wanted
    swarm = rows["swarm", "quotes"]
    assert counts["swarm", "quotes"] > 60  # what one update is to the swarms of two workers
    assert float(swarm["99%"]) >= float(swarm["50%"])
    assert int(rows["", "Aggregated"]["Request Count"]) > counts["swarm", "quotes"]


def test_a_gateway_that_is_not_there_is_a_failure_and_without_a_key_nobody_trades(tmp_path: Path) -> None:
    code, rows = run(tmp_path, "--host", "http://127.0.0.1:1", "--run-time", "2s")
    assert code == 1
    assert int(rows["", "Aggregated"]["Failure Count"]) > 0
    assert not any(kind == "trade" or name in {"/api/ws/token", "/oms/commands"} for kind, name in rows)
