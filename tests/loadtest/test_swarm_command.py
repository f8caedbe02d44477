"""The compiled client's command line and program, and how a load tool is run to its end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from loadtest import swarm
from loadtest.swarm import Swarm, ToolError, compiled, subscribe


def test_more_than_there_are_cannot_differ() -> None:
    with pytest.raises(ToolError, match="3 of 2 connections cannot"):
        Swarm(port=1, conns=2, messages=(), stalled=1, slow=1, resuming=1).command()


def test_who_comes_and_goes_asks_for_each_symbol_by_itself() -> None:
    assert [json.loads(each)["symbols"] for each in swarm.subscriptions(["A", "B"])] == [["A"], ["B"]]
    many = [f"S{number}" for number in range(swarm.MESSAGES_MAX + 1)]
    assert [json.loads(each)["symbols"] for each in swarm.subscriptions(many)] == [many]


def test_the_command_line_has_who_does_not_just_read(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Swarm] = []

    def run(self: Swarm) -> dict[str, float]:
        asked.append(self)
        return {}

    monkeypatch.setattr(Swarm, "run", run)
    counts = {name: number for number, name in enumerate(swarm.SHARES, 1)}
    words = [word for name, number in counts.items() for word in (f"--{name}", str(number))]
    monkeypatch.setattr("sys.argv", ["swarm", "--port", "7", *words])
    swarm.main()
    assert {name: getattr(asked[0], name) for name in counts} == counts


def test_a_program_is_compiled_once_for_each_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    source = tmp_path / "tool.c"
    source.write_text("int main(void) { return 0; }\n")
    first = compiled(source)
    made_ns = first.stat().st_mtime_ns
    assert compiled(source) == first
    assert first.stat().st_mtime_ns == made_ns
    source.write_text("int main(void) { return 1; }\n")
    assert compiled(source) != first


def test_what_cannot_be_built_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    source = tmp_path / "tool.c"
    source.write_text("int main(void) { return nothing; }\n")
    with pytest.raises(ToolError, match=r"tool\.c"):
        compiled(source)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolError, match="no C compiler"):
        compiled(source)


def test_a_message_that_has_no_room_is_refused() -> None:
    with pytest.raises(ToolError, match="at most 7936 bytes"):
        Swarm(port=1, conns=1, messages=(subscribe([f"S{number}/USDT" for number in range(1_500)]),)).run()


def test_a_client_that_fails_is_said() -> None:
    with pytest.raises(ToolError, match="ended with 3: oops"):
        swarm.last_json_line(["/bin/sh", "-c", "echo oops >&2; exit 3"], timeout_s=5)
    assert swarm.last_json_line(["/bin/sh", "-c", "echo '{}'"], timeout_s=60)["client_waited"] >= 0
    told = swarm.last_json_line(["/bin/sh", "-c", """echo '{"client_waited": 7}'"""], timeout_s=60)
    assert told == {"client_waited": 7}  # who tells it of what was measured knows better
    with pytest.raises(ToolError, match="did not finish"):
        swarm.last_json_line(["/bin/sh", "-c", "exec sleep 60"], timeout_s=0.1)
