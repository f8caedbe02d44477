"""`make users` end to end, in a process of its own: importing locust patches every socket of a process."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from loadtest import users
from loadtest.bench.machine import free_port
from loadtest.bench.servers import wait_for_port

ROOT = Path(__file__).resolve().parents[2]


def run(tmp_path: Path, *arguments: str) -> tuple[int, dict[tuple[str, str], dict[str, str]]]:
    """The exit code and locust's statistics by (type, name)."""
    words = ["--users", "8", "--spawn-rate", "8", "--run-time", "5s", "--csv", str(tmp_path / "load"), *arguments]
    ended = subprocess.run([sys.executable, "-m", "loadtest.users", *words], cwd=ROOT, capture_output=True, check=False)
    return ended.returncode, statistics_of(tmp_path)


def statistics_of(tmp_path: Path) -> dict[tuple[str, str], dict[str, str]]:
    """What has been written of them; nothing before there is a file."""
    try:
        with (tmp_path / "load_stats.csv").open() as table:
            return {(row["Type"], row["Name"]): row for row in csv.DictReader(table)}
    except FileNotFoundError:
        return {}


def test_users_stream_trade_and_ask_and_each_worker_has_a_swarm(tmp_path: Path) -> None:
    shape = ("--shape", "storm", "--users", "27", "--spawn-rate", "27")
    others = ("--swarm-reconnecting", "3", "--swarm-resuming", "3", "--swarm-resubscribing", "3", "--swarm-slow", "2")
    told = tmp_path / "client.json"
    code, rows = run(tmp_path, *shape, "--processes", "2", "--swarm", "30", *others, "--client-json", str(told))
    counts = {key: int(row["Request Count"]) for key, row in rows.items()}
    assert code == 0
    assert rows["", "Aggregated"]["Failure Count"] == "0"
    assert sum(number for (kind, _), number in counts.items() if kind == "update") > 50
    for wanted in (
        ("GET", "/api/ws/token"), ("connect", "first"), ("subscribe", "orders"), ("update", "orders"),
        ("command", "send_order"), ("command", "change_order"), ("command", "cancel_order"), ("ack", "orders"),
        *(("POST", f"/oms/commands {name}") for name in ("send_order", "change_order", "cancel_order")),
        ("GET", "/oms/orders/ID"), ("GET", "/api/ws/status"),
    ):  # fmt: skip
        assert counts.get(wanted, 0) > 0, wanted
    swarm = rows["swarm", "quotes"]
    assert counts["swarm", "quotes"] > 60  # what one update is to the swarms of two workers
    assert float(swarm["99%"]) >= float(swarm["50%"])
    assert int(rows["", "Aggregated"]["Request Count"]) > counts["swarm", "quotes"]
    assert counts["client", "lag"] > 0
    assert set(json.loads(told.read_text())) == {
        "client_cpu_share", "client_waited_share", "client_lag_p99_ms", "client_cpu_of_swarm_share",
        "client_waited_of_swarm_share",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("asked", "web", "handed_on"),
    [
        ((), False, []),
        (("--csv", "load"), False, ["--csv", "load"]),
        (("--web-ui", "--csv", "load"), True, ["--csv", "load"]),
        (("--web-port", "8090"), True, ["--web-port", "8090"]),
        (("--web-port=8090", "--web-host", "0.0.0.0"), True, ["--web-port=8090", "--web-host", "0.0.0.0"]),
    ],
)
def test_without_the_web_ui_nobody_is_waited_for(asked: tuple[str, ...], web: bool, handed_on: list[str]) -> None:
    first = ["--web-host", "127.0.0.1"] if web else ["--headless"]
    assert users.options(asked) == [*first, *users.DEFAULTS, *handed_on]


def test_the_web_ui_waits_for_somebody_to_start_the_users() -> None:
    port = free_port()
    asked = ("--web-ui", "--web-port", str(port), "--host", "http://127.0.0.1:1")
    words = [sys.executable, "-m", "locust", "--locustfile", str(users.LOCUSTFILE), *users.options(asked)]
    with subprocess.Popen(words, cwd=ROOT, stderr=subprocess.DEVNULL) as running:
        try:
            wait_for_port("locust", running.pid, port, Path(os.devnull))
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/stats/requests") as answer:
                assert json.load(answer)["state"] == "ready"
        finally:
            running.terminate()


def test_a_gateway_that_is_not_there_is_a_failure_and_without_a_key_nobody_trades(tmp_path: Path) -> None:
    code, rows = run(tmp_path, "--host", "http://127.0.0.1:1", "--run-time", "2s")
    assert code == 1
    assert int(rows["", "Aggregated"]["Failure Count"]) > 0
    assert not any(kind == "trade" or name == "/api/ws/token" or "/oms/" in name for kind, name in rows)


class Forgetful(BaseHTTPRequestHandler):
    """A gateway that is not there for the first command, does nothing of what it says, and has no words once."""

    asked: ClassVar[list[str]] = []

    def do_POST(self) -> None:
        command = json.loads(self.rfile.read(int(self.headers["content-length"])))["command"]
        self.asked.append(command)
        early = {"code": "exchange_unavailable", "message": "later", "retry_after_ms": 1}
        self.answer({"results": [{"order_id": 7, "error": early if len(self.asked) == 1 else None}]})

    def do_GET(self) -> None:
        self.asked.append(self.path)
        known = [{"price": "1000", "status": "open"}] if self.asked.count(self.path) > 1 else []
        self.answer({"items": known, "missing": []})

    def answer(self, body: object) -> None:
        text = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_args: object) -> None:
        """Not in the output of the tests."""


def test_who_trades_by_rest_changes_and_cancels_and_says_when_that_is_not_what_became_of_it(tmp_path: Path) -> None:
    life = ["send_order", "send_order", "change_order", "/oms/orders/7", "cancel_order", "/oms/orders/7"]
    Forgetful.asked.clear()
    failures = tmp_path / "load_failures.csv"
    words = [sys.executable, "-m", "locust", "--locustfile", str(users.LOCUSTFILE), "--headless", "--users", "1"]
    words += ["--run-time", "300s", "--csv", str(tmp_path / "load"), "--only-summary", "--key", "any", "RestTrader"]
    with ThreadingHTTPServer(("127.0.0.1", 0), Forgetful) as gateway:
        threading.Thread(target=gateway.serve_forever, daemon=True).start()  # a test that fails shuts nothing down
        words += ["--host", f"http://127.0.0.1:{gateway.server_port}"]
        with subprocess.Popen(words, cwd=ROOT, stderr=subprocess.DEVNULL) as running:
            while not (failures.exists() and failures.read_text().count("/oms/orders/ID") >= 2):
                assert running.poll() is None, "locust ended by itself"
                time.sleep(0.2)
            running.terminate()
        gateway.shutdown()
    assert Forgetful.asked[:6] == life
    said = failures.read_text()
    assert "200 without items" in said
    assert "{'status': 'open'}, and told was {'status': 'canceled'}" in said
    rows = statistics_of(tmp_path)
    assert {name for (kind, name), row in rows.items() if kind and row["Failure Count"] != "0"} == {"/oms/orders/ID"}


def test_an_account_is_under_observation_by_pages_while_one_deals(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "locust", "--locustfile", str(users.LOCUSTFILE), "--headless", "--users", "4"]
    words += ["--run-time", "300s", "--shape", "account", "--csv", str(tmp_path / "load")]
    wanted = {("POST", "/oms/commands send_order"), ("connect", "account"), ("update", "account"), ("pong", "account")}
    with users.demo() as demo:
        environment = {**os.environ, "TICKWIRE_LOAD_KEY": demo.key}
        words += ["--host", demo.url, "--only-summary"]
        with subprocess.Popen(words, cwd=ROOT, env=environment, stderr=subprocess.DEVNULL) as running:
            while not wanted <= set(statistics_of(tmp_path)):
                assert running.poll() is None, "locust ended by itself"
                time.sleep(0.2)
            running.terminate()
    rows = statistics_of(tmp_path)
    assert rows["", "Aggregated"]["Failure Count"] == "0"
    assert {name for kind, name in rows if kind in {"subscribe", "command", "GET"}} == set()  # nobody else is there


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (("--shape", "account"), "an account is shown to who has a --key"),
        (("--swarm", "3", "--swarm-slow", "4"), "--swarm 3: not so many can be"),
    ],
)
def test_what_cannot_be_ends_locust_before_anybody_is_there(asked: tuple[str, ...], said: str) -> None:
    words = [sys.executable, "-m", "loadtest.users", "--host", "http://127.0.0.1:1", *asked]
    ended = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert said in ended.stderr
