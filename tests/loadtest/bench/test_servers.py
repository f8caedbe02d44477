"""Processes are pinned, watched and ended; the configuration the gateway gets is the one meant."""

from __future__ import annotations

import os
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from loadtest.bench import servers
from loadtest.bench.machine import free_port, server_cpu
from loadtest.bench.servers import Server
from loadtest.bench.tools import Tools
from loadtest.swarm import ToolError, compiled

LISTEN = "import socket, sys, time; s = socket.create_server(('127.0.0.1', int(sys.argv[1]))); time.sleep(60)"


def test_the_configuration_is_toml_with_everything_else_at_its_default() -> None:
    options: dict[str, Any] = {"symbols": 3, "rate": 0.5, "urls": {"api": {"ws": 'a"b'}}, "types": ["spot"], "x": False}
    text = servers.gateway_config(1234, "bench", options, klass="synthetic")
    assert tomllib.loads(text) == {
        "default_exchange": "bench",
        "server": {"port": 1234},
        "oms": {"enabled": False},
        "exchanges": {"bench": {"class": "synthetic", "options": options}},
    }


def test_a_certificate_is_configured_with_the_key_in_the_same_file() -> None:
    text = servers.gateway_config(1, "bench", {}, klass="synthetic", certificate=Path("both.pem"))
    assert tomllib.loads(text)["server"] == {"port": 1, "tls_certificate": "both.pem", "tls_key": "both.pem"}


def test_ccxt_is_pointed_at_the_exchange_for_market_data_and_rest() -> None:
    options = servers.binance_at(Server("exchange", 1, 4567, Path("log")))
    assert options["urls"]["api"]["public"] == "http://127.0.0.1:4567/api/v3"
    assert options["urls"]["api"]["ws"]["spot"] == "ws://127.0.0.1:4567/stream/ws"


def test_a_process_is_pinned_and_ended() -> None:
    port = free_port()
    with servers.process("listener", [sys.executable, "-c", LISTEN, str(port)], cpu=server_cpu()) as (pid, log):
        servers.wait_for_port("listener", pid, port, log)
        assert os.sched_getaffinity(pid) == {server_cpu()}
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_process_that_does_not_start_says_why() -> None:
    failing = [sys.executable, "-c", "raise SystemExit('the reason')"]
    with (
        pytest.raises(ToolError, match="the reason"),
        servers.process("failing", failing, cpu=server_cpu()) as (pid, log),
    ):
        servers.wait_for_port("failing", pid, free_port(), log)


def test_a_process_that_ends_during_the_run_is_an_error() -> None:
    ending = [sys.executable, "-c", "raise SystemExit('too early')"]
    with (
        pytest.raises(ToolError, match="too early"),
        servers.process("ending", ending, cpu=server_cpu()) as (pid, _log),
    ):
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)


def test_settings_of_the_shell_do_not_reach_a_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TICKWIRE_LIMITS__SLICE_SENDS", "1")
    listen = f"import os; assert not [name for name in os.environ if 'TICKWIRE' in name]; {LISTEN}"
    port = free_port()
    with servers.process("listener", [sys.executable, "-c", listen, str(port)], cpu=server_cpu()) as (pid, log):
        servers.wait_for_port("listener", pid, port, log)


def test_the_floor_is_up_before_anybody_connects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One accepted connection too many would be one subscriber too few."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    source = tmp_path / "floor.c"
    source.write_text(FLOOR_THAT_REFUSES_VISITORS)
    tools = Tools(None, compiled(source), {}, None, ())
    with servers.floor(tools, 5, 10.0, payload_bytes=100, messages_per_send=2) as server:
        assert server.name == "C floor, 2 a send"


FLOOR_THAT_REFUSES_VISITORS = """
#include <arpa/inet.h>
#include <stdlib.h>
#include <unistd.h>
int main(int n, char **v) {
  int s = socket(AF_INET, SOCK_STREAM, 0);
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(atoi(v[2]))};
  a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (bind(s, (void *)&a, sizeof a) || listen(s, 8)) return 1;
  accept(s, 0, 0);
  return 2;
}
"""


def test_limits_that_are_not_the_default_are_said() -> None:
    text = servers.gateway_config(1, "bench", {}, klass="synthetic", limits={"linger_s": 0.05})
    assert tomllib.loads(text)["limits"] == {"linger_s": 0.05}
