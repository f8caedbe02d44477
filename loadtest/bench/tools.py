"""Where the outside load tools are (the C client `wsload`, the C floor, peers) and how they are built.

Must not know workloads. The tools lie in a folder nobody writes to: everything built goes into the cache.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from loadtest.swarm import ToolError, cache_folder, compiled

ROOT = Path(__file__).resolve().parents[2]
LIBURING_STUB = Path(__file__).parent / "stub"
PEERS = {  # name -> what it imports; of Node for the one that runs there
    "picows": "uvloop, picows",
    "socketify": "socketify",
    "ws_node": "ws",
    "websockets": "uvloop, websockets",
    "aiohttp": "uvloop, aiohttp",
    "fastapi": "uvloop, fastapi, uvicorn",
}


@dataclass(frozen=True)
class Tools:
    """Programs that are there; `notes` says what is missing and what that means for the report."""

    wsload: Path | None
    floor: Path | None
    peers: dict[str, tuple[str, ...]]  # name -> words that start it; PORT RATE follow
    peers_folder: Path | None
    notes: tuple[str, ...]


def tools_folder() -> Path | None:
    """The folder named by TICKWIRE_LOAD_TOOLS, else the one beside the checkout, if it is there."""
    named = os.environ.get("TICKWIRE_LOAD_TOOLS")
    folder = Path(named) if named else ROOT.parent / "shared" / "tools" / "load"
    return folder if (folder / "wsload.c").is_file() else None


def find() -> Tools:
    """Build what can be built, and say what cannot."""
    folder = tools_folder()
    if folder is None:
        note = "no load tools found (TICKWIRE_LOAD_TOOLS): loaded by the project's own swarm, without floor and peers"
        return Tools(None, None, {}, None, (note,))
    notes = []
    wsload = compiled(folder / "wsload.c", "-w")
    try:
        floor = _floor(folder / "floor.c")
    except ToolError as error:
        floor = None
        notes.append(f"no C floor: {str(error).splitlines()[0]}")
    peers = {name: words for name, needs in PEERS.items() if (words := _peer(name, needs))}
    missing = [name for name in PEERS if name not in peers]
    if missing:
        where = "TICKWIRE_PEERS_PYTHON names a Python with them, NODE_PATH the folder of Node's packages"
        notes.append(f"peers not installed here: {', '.join(missing)} ({where})")
    return Tools(wsload, floor, peers, folder / "peers", tuple(notes))


def _floor(source: Path) -> Path:
    """With liburing where it is installed; else against a stub, which is enough as long as -u is not asked for."""
    try:
        return compiled(source, "-w", "-luring")
    except ToolError:
        return compiled(source, "-w", f"-I{LIBURING_STUB}")


def peers_python() -> str:
    """The Python that peers run on: theirs if named, else ours, which has picows and the test dependencies."""
    return os.environ.get("TICKWIRE_PEERS_PYTHON") or sys.executable


def _peer(name: str, needs: str) -> tuple[str, ...] | None:
    if name == "ws_node":
        node = shutil.which("node")
        return (node, "p_ws.js") if node and _succeeds([node, "-e", f"require('{needs}')"]) else None
    python = peers_python()
    return (python, f"p_{name}.py") if _succeeds([python, "-c", f"import {needs}"]) else None


def _succeeds(words: list[str]) -> bool:
    try:
        done = subprocess.run(words, capture_output=True, check=False, timeout=30)  # noqa: S603 - a fixed question
    except OSError:
        return False
    return done.returncode == 0


def results_folder() -> Path:
    """Where raw results are kept."""
    folder = cache_folder() / "results"
    folder.mkdir(parents=True, exist_ok=True)
    return folder
