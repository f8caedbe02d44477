"""Finding and building the outside tools: there, half there, not there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from loadtest.bench import tools
from loadtest.swarm import ToolError, compiled


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of tools that do nothing."""
    made = tmp_path / "load"
    (made / "peers").mkdir(parents=True)
    for name in ("wsload.c", "floor.c"):
        (made / name).write_text("int main(void) { return 0; }\n")
    monkeypatch.setenv("TICKWIRE_LOAD_TOOLS", str(made))
    return made


def test_without_the_folder_it_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TICKWIRE_LOAD_TOOLS", str(tmp_path))
    found = tools.find()
    assert (found.wsload, found.floor, found.peers) == (None, None, {})
    assert "TICKWIRE_LOAD_TOOLS" in found.notes[0]


def test_everything_built_lies_in_the_cache(folder: Path, tmp_path: Path) -> None:
    before = sorted(folder.rglob("*"))
    found = tools.find()
    assert found.wsload is not None
    assert found.floor is not None
    assert found.wsload.is_relative_to(tmp_path / "cache")
    assert found.floor.is_relative_to(tmp_path / "cache")
    assert sorted(folder.rglob("*")) == before


def test_a_floor_that_does_not_compile_is_left_out_and_said(folder: Path) -> None:
    (folder / "floor.c").write_text("#include <no_such_header.h>\n")
    found = tools.find()
    assert found.floor is None
    assert any(note.startswith("no C floor") for note in found.notes)


def test_a_client_that_does_not_compile_is_an_error(folder: Path) -> None:
    (folder / "wsload.c").write_text("broken\n")
    with pytest.raises(ToolError, match=r"wsload\.c"):
        tools.find()


def test_the_stub_stands_in_for_liburing(tmp_path: Path) -> None:
    source = tmp_path / "uses.c"
    source.write_text(
        "#include <liburing.h>\n"
        "int main(void) { struct io_uring r; struct io_uring_cqe *c; unsigned h;\n"
        "  io_uring_for_each_cqe(&r, h, c) { return 2; }\n"
        "  return io_uring_queue_init(8, &r, IORING_SETUP_SINGLE_ISSUER) == -1 ? 0 : 1; }\n"
    )
    program = compiled(source, f"-I{tools.LIBURING_STUB}")
    assert subprocess.run([str(program)], check=False).returncode == 0


def test_peers_are_those_that_import(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert folder.exists()
    monkeypatch.setattr(tools, "PEERS", dict.fromkeys(tools.PEERS, "no_such_module") | {"picows": "picows"})
    found = tools.find()
    assert found.peers["picows"] == (sys.executable, "p_picows.py")
    assert set(found.peers) == {"picows"}
    assert any("not installed" in note and "websockets" in note for note in found.notes)


def test_the_peer_of_node_is_there_where_node_path_has_it(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert folder.exists()
    node = tmp_path / "bin" / "node"
    node.parent.mkdir()
    node.write_text(f'#!/bin/sh\n[ "$2" = "require(\'ws\')" ] && [ "$NODE_PATH" = {tmp_path}/modules ]\n')
    node.chmod(0o755)
    monkeypatch.setenv("PATH", f"{node.parent}:{os.environ['PATH']}")
    monkeypatch.setattr(tools, "PEERS", {"ws_node": "ws"})
    monkeypatch.delenv("NODE_PATH", raising=False)
    without = tools.find()
    assert without.peers == {}
    assert any("NODE_PATH" in note for note in without.notes)
    monkeypatch.setenv("NODE_PATH", f"{tmp_path}/modules")
    assert tools.find().peers == {"ws_node": (str(node), "p_ws.js")}


def test_another_python_may_be_named_for_peers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TICKWIRE_PEERS_PYTHON", "/no/such/python")
    assert tools.peers_python() == "/no/such/python"


def test_results_have_a_folder() -> None:
    assert tools.results_folder().is_dir()
