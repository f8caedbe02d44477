"""A source distribution and a wheel build from what is tracked, and run in an environment that has nothing else."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

import _speedups

ROOT = Path(__file__).resolve().parent.parent
NOT_SOURCE = shutil.ignore_patterns(".*", "build", "dist", "*.egg-info", "__pycache__", "*.so", "tests", "docs")
WRITTEN_C = {
    "loadtest/_swarm.c",
    "loadtest/_swarm_measure.h",
    "loadtest/_swarm_text.h",
}  # compiled on the machine that measures

pytestmark = pytest.mark.timeout(300)


def run(*command: str | Path, cwd: Path, **environ: str) -> str:
    """Run a command to its end; what it printed. Fails with all of it when the command does."""
    # Our own checkout must not be found by what runs elsewhere.
    ours = {
        name: value for name, value in os.environ.items() if name != "PYTHONPATH" and not name.startswith("TICKWIRE_")
    }
    ended = subprocess.run(
        [str(part) for part in command],
        cwd=cwd, env={**ours, **environ}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout
    return ended.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with a source distribution and the wheel that was built from it."""
    folder = tmp_path_factory.mktemp("packaging")
    # A copy, because setuptools remembers file lists between builds, and would pack what is long gone.
    shutil.copytree(ROOT, folder / "source", ignore=NOT_SOURCE)
    for generated in (folder / "source" / "_speedups").glob("*.c"):
        generated.unlink()
    build = (sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, "source")
    run(*build, cwd=folder, TICKWIRE_REQUIRE_SPEEDUPS="1", TICKWIRE_DEBUG_SPEEDUPS="1")  # which compiles sooner
    return folder


@pytest.fixture(scope="module")
def python(built: Path) -> Path:
    """The interpreter of an environment with nothing but the wheel and what it asks for."""
    venv.create(built / "venv", with_pip=False)
    python = built / "venv" / "bin" / "python"
    (wheel,) = built.glob("*.whl")
    pip = (sys.executable, "-m", "pip", "--python", python, "--disable-pip-version-check")
    run(*pip, "install", "--quiet", "--no-compile", "--constraint", ROOT / ".ci" / "constraints.txt", wheel, cwd=built)
    return python


def test_the_source_distribution_has_what_a_build_needs(built: Path) -> None:
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.split("/", 1)[1] for name in archive.getnames() if "/" in name}
    sources = {
        f"_speedups/{path.name}" for path in (ROOT / "_speedups").iterdir() if path.suffix in {".pyx", ".pxd", ".pyi"}
    }
    needed = {"setup.py", "pyproject.toml", "README.md", "LICENSE", "gateway/cli.py"}
    assert (sources | needed | WRITTEN_C) <= names
    assert not [name for name in names if name.endswith((".so", ".pyc")) or name.startswith("tests/")]


def test_the_wheel_has_what_runs(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    modules = {path.stem for path in (ROOT / "_speedups").glob("*.pyi")}
    assert {name.split("/")[1].split(".")[0] for name in names if name.endswith(".so")} == modules
    assert {f"_speedups/{module}.pyi" for module in modules} <= set(names)
    assert {f"{room}/py.typed" for room in ("_speedups", "gateway", "oms")} <= set(names)
    pages = {path.relative_to(ROOT).as_posix() for path in (ROOT / "gateway" / "web").rglob("*") if path.is_file()}
    assert pages <= set(names)
    assert set(names) >= WRITTEN_C
    assert not [name for name in names if name.startswith(("tests/", "driver/")) or re.match(r"_speedups/.*\.c$", name)]


def test_compiled_modules_are_there(python: Path, built: Path) -> None:
    modules = sorted(path.stem for path in (ROOT / "_speedups").glob("*.pyi"))
    code = f"import importlib; [importlib.import_module('_speedups.' + name) for name in {modules}]; import gateway.app"
    run(python, "-c", code, cwd=built, TICKWIRE_REQUIRE_SPEEDUPS="1")


def test_the_command_runs(python: Path, built: Path) -> None:
    tickwire = python.parent / "tickwire"
    assert "demo" in run(tickwire, "--help", cwd=built)
    (built / "tickwire.toml").write_text('[exchanges.sim]\nclass = "binance"\n')
    assert "The configuration is right" in run(tickwire, "check", cwd=built)
    assert "--synthetic" in run(tickwire, "exchange", "--help", cwd=built)


# The client machine's half


@pytest.fixture(scope="module")
def client_built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with a source distribution and a wheel of the driver alone, built without the rest of the tree."""
    folder = tmp_path_factory.mktemp("client")
    shutil.copytree(ROOT / "driver", folder / "source", ignore=NOT_SOURCE)
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, "source", cwd=folder)
    return folder


def test_the_client_is_pure_python_and_all_of_it(client_built: Path) -> None:
    (wheel,) = client_built.glob("*.whl")
    assert wheel.name.endswith("-py3-none-any.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    modules = {path.relative_to(ROOT).as_posix() for path in (ROOT / "driver").rglob("*.py")}
    assert {name for name in names if ".dist-info/" not in name} == {*modules, "driver/py.typed"}
    assert any(name.endswith("/LICENSE") for name in names)


def test_a_client_machine_needs_no_compiler_and_has_no_server(client_built: Path) -> None:
    (wheel,) = client_built.glob("*.whl")
    venv.create(client_built / "venv", with_pip=False)
    python = client_built / "venv" / "bin" / "python"
    pip = (sys.executable, "-m", "pip", "--python", python, "--disable-pip-version-check")
    constraints = ("--constraint", ROOT / ".ci" / "constraints.txt", "--only-binary", ":all:")
    nowhere = {"PATH": str(client_built / "nothing"), "CC": "no-such-compiler"}
    run(*pip, "install", "--quiet", "--no-compile", *constraints, f"{wheel}[driver]", cwd=client_built, **nowhere)
    code = (
        "import driver, importlib.util as u; driver.register(); import ccxt, ccxt.pro\n"
        "server = [name for name in ('gateway', 'oms', '_speedups', 'loadtest') if u.find_spec(name)]\n"
        "print(ccxt.tickwire().id, ccxt.pro.tickwire().id, server)"
    )
    assert run(python, "-c", code, cwd=client_built, **nowhere) == "tickwire tickwire []\n"


def test_both_halves_are_of_one_version() -> None:
    server, client = (
        tomllib.loads((ROOT / path).read_text())["project"] for path in ("pyproject.toml", "driver/pyproject.toml")
    )
    assert (server["name"], client["name"]) == ("tickwire-server", "tickwire")
    assert client["version"] == server["version"]
    assert client["optional-dependencies"] == {"driver": [], "server": [f"tickwire-server=={server['version']}"]}
    assert set(client["dependencies"]) <= set(server["dependencies"])


def test_a_missing_compiled_module_is_an_error_when_all_are_required(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "_speedups", tmp_path / "_speedups", ignore=shutil.ignore_patterns("frame.*.so"))
    # -S: an editable installation would find the module in the checkout.
    missing = run(sys.executable, "-S", "-c", "import _speedups; print(_speedups.missing())", cwd=tmp_path)
    assert missing.strip() == "['frame']"
    with pytest.raises(AssertionError, match=r"compiled modules are missing: frame; run `make setup`"):
        run(sys.executable, "-S", "-c", "import _speedups", cwd=tmp_path, TICKWIRE_REQUIRE_SPEEDUPS="1")


def test_here_nothing_is_missing() -> None:
    assert _speedups.missing() == []
