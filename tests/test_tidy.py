"""Style as a test: who may import whom, how long things may be, and what every file must have.

The tables below are the rules; each message says what to do. `docs/` and ARCHITECTURE.md explain the rooms.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("_speedups", "driver", "gateway", "loadtest", "oms")

FILE_LINES_MAX = 420  # aim for 400, and for a median near 120
FUNCTION_LINES_MAX = 60

TOP_LEVEL = {
    *ROOMS,
    *("tests", "docs", "examples", "deploy", ".ci"),
    *("setup.py", "pyproject.toml", "README.md", "Makefile", "ARCHITECTURE.md", "CHANGELOG.md", "LICENSE"),
    ".gitignore",
}


class Rule(NamedTuple):
    """Files under `place` must not import any of `never`, unless the file is under one of `unless`."""

    place: str
    never: tuple[str, ...]
    why: str
    unless: tuple[str, ...] = ()


RULES = (
    Rule("_speedups", ("asyncio", "json", "orjson", "msgspec", "uvloop"), "it holds no asyncio policy and no JSON"),
    Rule("_speedups", ("gateway", "oms", "driver", "loadtest"), "the compiled core knows nothing else of ours"),
    Rule(
        "gateway",
        ("oms",),
        "only gateway/desk.py and commands join the two rooms",
        ("gateway/desk.py", "gateway/commands/"),
    ),
    Rule("gateway", ("driver", "loadtest", "tests"), "clients and load tools are outsiders: speak the wire"),
    Rule("gateway", ("ccxt",), "an exchange's quirk lives in gateway/sources/", ("gateway/sources/",)),
    Rule("gateway", ("asyncpg",), "SQL lives in oms/store.py and oms/journal.py"),
    Rule("oms", ("gateway", "driver", "loadtest", "tests", "_speedups"), "gateway/desk.py joins the rooms"),
    Rule("oms", ("ccxt",), "venues live in oms/venues/", ("oms/venues/",)),
    Rule("oms", ("asyncpg",), "SQL lives in oms/store.py and oms/journal.py", ("oms/store", "oms/journal")),
    Rule("driver", ("gateway", "oms", "_speedups", "loadtest", "tests"), "the driver is a client: it speaks the wire"),
    Rule("loadtest", ("gateway", "oms", "driver", "tests"), "load tools are outsiders: they speak the wire"),
    Rule(
        "loadtest",
        ("ccxt",),
        "the simulated exchange must not share the code it is used to test",
        ("loadtest/bench/ccxt_parse.py",),  # which measures ccxt alone
    ),
)

# Rooms that may import the standard library and these, nothing else.
ONLY = {
    "_speedups": {"cpython", "libc", "cython", "_speedups"},
    "driver": {"ccxt", "aiohttp", "requests", "orjson", "driver"},  # orjson as ccxt uses it: where it is there
}

# Where waiting is allowed; everything else in the gateway is synchronous, and so can be tested without a loop.
MAY_AWAIT = (
    *("gateway/app.py", "gateway/cli.py", "gateway/desk.py", "gateway/process.py", "gateway/worker.py"),
    *("gateway/commands/", "gateway/net/", "gateway/sources/"),
)

# Source files without a test file of the same name, and why.
NO_TEST_OF_ITS_OWN = {
    "_speedups/__init__.py": "tests/test_packaging.py imports every module it lists",
    "loadtest/hooks.py": "with loadtest/locustfile.py, which joins it to locust",
    "loadtest/locustfile.py": "tests/loadtest/test_users.py runs it: importing it patches all sockets",
    "oms/shapes.py": "no code: the type checker holds render and the resources against it",
    "oms/resources/doors.py": "types, and what tests/oms/resources/test_openapi.py finds in the document",
    "oms/market.py": "protocols and no code",
    "driver/stream.py": "types, which tests/driver/test_streams.py moves",
}

# Split so that this file does not find itself.
MACHINE_PATHS = re.compile("/wo" + "rk/|/ro" + r"ot/|\.libr" + "ary")
FORBIDDEN_WORDS = re.compile(
    r"(?<![-_])\b(?:ag" + r"ents?|cl" + r"aude|anth" + r"ropic|cop" + r"ilot|chat" + r"gpt|ll" + r"ms?)\b",
    re.IGNORECASE,
)
TEXT = {".py", ".pyx", ".pxd", ".pyi", ".md", ".toml", ".txt", ".in", ".sql", ".html", ".js", ".css", ".c", ".h", ""}


def tracked() -> list[Path]:
    """Files that are, or would be, committed; all that are there when this is no git checkout."""
    listing = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if listing.returncode:
        pytest.skip("not a git checkout: nothing says which files are ours")
    return sorted(path for line in listing.stdout.splitlines() if (path := Path(line)) and (ROOT / path).is_file())


def sources(*suffixes: str, rooms: tuple[str, ...] = ROOMS) -> list[Path]:
    """Our source files with one of these suffixes."""
    return [path for path in tracked() if path.parts[0] in rooms and path.suffix in suffixes]


def text_of(path: Path) -> str:
    """The file's text, read from the repository root."""
    return (ROOT / path).read_text(encoding="utf-8")


def package_of(path: Path) -> list[str]:
    """The package a relative import in this file starts from."""
    return list(path.parent.parts)


def imports_python(path: Path) -> Iterator[tuple[int, str]]:
    """(line, dotted name) of every import, relative ones made absolute, also those inside functions."""
    for node in ast.walk(ast.parse(text_of(path))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package_of(path)[: len(path.parent.parts) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield node.lineno, module
            yield from ((node.lineno, f"{module}.{alias.name}") for alias in node.names)


def imports_cython(path: Path) -> Iterator[tuple[int, str]]:
    """The same for .pyx and .pxd, by line: `cimport a.b`, `from a.b cimport c`, `import a`, `from a import b`."""
    pattern = re.compile(r"^\s*(?:from\s+([\w.]+)\s+c?import|c?import\s+([\w.]+))")
    for number, line in enumerate(text_of(path).splitlines(), 1):
        if found := pattern.match(line):
            name = found[1] or found[2]
            yield number, name if not name.startswith(".") else f"{path.parts[0]}{name}"


def imports_of(path: Path) -> list[tuple[int, str]]:
    """(line, dotted name) of what a file imports."""
    return list(imports_cython(path) if path.suffix in {".pyx", ".pxd"} else imports_python(path))


def within(name: str, module: str) -> bool:
    """Whether dotted `name` is `module` or below it."""
    return name == module or name.startswith(f"{module}.")


def report(problems: list[str]) -> None:
    """Fail with all problems at once."""
    assert not problems, "\n  " + "\n  ".join(problems)


def test_top_level_is_as_agreed() -> None:
    found = {path.parts[0] for path in tracked()}
    report([f"{name}: move it into a room, docs/ or examples/; the top level is fixed" for name in found - TOP_LEVEL])


def test_rooms_import_only_what_they_may() -> None:
    problems = []
    for path in sources(".py", ".pyi", ".pyx", ".pxd"):
        name = path.as_posix()
        for rule in RULES:
            if not name.startswith(f"{rule.place}/") or name.startswith(rule.unless or ("\0",)):
                continue
            problems += [
                f"{name}:{line}: {rule.place}/ must not import {imported}: {rule.why}"
                for line, imported in imports_of(path)
                if any(within(imported, module) for module in rule.never)
            ]
    report(problems)


@pytest.mark.parametrize("room", ONLY)
def test_room_imports_nothing_foreign(room: str) -> None:
    allowed = ONLY[room] | set(sys.stdlib_module_names) | {"__future__"}
    report([
        f"{path}:{line}: {room}/ may import the standard library and {', '.join(sorted(ONLY[room]))}, not {imported}"
        for path in sources(".py", ".pyi", ".pyx", ".pxd", rooms=(room,))
        for line, imported in imports_of(path)
        if imported.split(".")[0] not in allowed
    ])  # fmt: skip


def test_only_the_shell_waits() -> None:
    waits = (ast.Await, ast.AsyncFunctionDef, ast.AsyncFor, ast.AsyncWith)
    report([
        f"{path}:{node.lineno}: waits; {path.parent}/ is synchronous: wait in gateway/net/, sources/ or app.py"
        for path in sources(".py", rooms=("gateway",))
        if not path.as_posix().startswith(MAY_AWAIT)
        for node in ast.walk(ast.parse(text_of(path)))
        if isinstance(node, waits)
    ])  # fmt: skip
    report([
        f"{path}:{number}: the compiled core has no asyncio policy: nothing here may wait"
        for path in sources(".pyx", ".pxd")
        for number, line in enumerate(text_of(path).splitlines(), 1)
        if re.match(r"\s*(async\s|await\s|.*=\s*await\s)", line)
    ])  # fmt: skip


def test_files_are_short() -> None:
    paths = sources(".py", ".pyx", ".pxd", ".pyi", rooms=(*ROOMS, "tests"))
    report([
        f"{path}: {lines} lines, at most {FILE_LINES_MAX}: split it by what its parts know"
        for path in paths
        if (lines := len(text_of(path).splitlines())) > FILE_LINES_MAX
    ])  # fmt: skip


def functions_python(path: Path) -> Iterator[tuple[str, int, int]]:
    """(name, first line, length) of every function."""
    for node in ast.walk(ast.parse(text_of(path))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, node.lineno, (node.end_lineno or node.lineno) - node.lineno + 1


def functions_cython(path: Path) -> Iterator[tuple[str, int, int]]:
    """The same by indentation: a function ends before the next line that is not deeper than its `def`."""
    lines = text_of(path).splitlines()
    opening = re.compile(r"^(\s*)(?:cpdef|cdef|def)\s(?!class\b|struct\b|enum\b|extern\b|packed\b)[^=]*?(\w+)\(.*")
    for start, line in enumerate(lines):
        found = opening.match(line)
        if not found:
            continue
        end = last = start
        while last + 1 < len(lines):
            last += 1
            text = lines[last]
            if text.strip() and len(text) - len(text.lstrip()) <= len(found[1]) and not text.lstrip().startswith(")"):
                break
            end = last if text.strip() else end
        yield found[2], start + 1, end - start + 1


def test_functions_are_short() -> None:
    paths = sources(".py", ".pyx", rooms=(*ROOMS, "tests"))
    report([
        f"{path}:{line}: {name}() is {length} lines, at most {FUNCTION_LINES_MAX}: give its parts names"
        for path in paths
        for name, line, length in (functions_cython if path.suffix == ".pyx" else functions_python)(path)
        if length > FUNCTION_LINES_MAX
    ])  # fmt: skip


def test_modules_say_what_they_hold() -> None:
    problems = [
        f"{path}: open with a docstring: what the module holds and what it must not know"
        for path in sources(".py", rooms=(*ROOMS, "tests"))
        if text_of(path).strip() and not ast.get_docstring(ast.parse(text_of(path)))
    ]
    problems += [
        f"{path}: open with a docstring or comment: what the module holds and what it must not know"
        for path in sources(".pyx", ".pxd", ".pyi")
        if text_of(path).strip() and not re.match(r'(#.*\n)*\s*("""|#)', text_of(path))
    ]
    report(problems)


def place_of_tests(path: Path) -> Path:
    """Where the tests of a source file belong; underscores around a name are dropped."""
    return Path("tests", path.parts[0].strip("_"), *path.parts[1:-1], f"test_{path.stem.strip('_')}.py")


def is_only_a_door(path: Path) -> bool:
    """An `__init__` that says what the package is, a `__main__` that calls another module's `main`."""
    statements_max = {"__init__.py": 2, "__main__.py": 4}.get(path.name, 0)
    return statements_max > 0 and len(ast.parse(text_of(path)).body) <= statements_max


def test_each_source_file_has_a_test_file() -> None:
    report([
        f"{path}: write {place_of_tests(path)} (or name the reason in NO_TEST_OF_ITS_OWN)"
        for path in sources(".py", ".pyx")
        if path.as_posix() not in NO_TEST_OF_ITS_OWN
        and not is_only_a_door(path)
        and not (ROOT / place_of_tests(path)).exists()
    ])  # fmt: skip


def test_exceptions_still_exist() -> None:
    report(
        [
            f"{name}: gone; remove it from NO_TEST_OF_ITS_OWN"
            for name in NO_TEST_OF_ITS_OWN
            if not (ROOT / name).exists()
        ]
    )


def test_nothing_names_this_machine_or_its_tools() -> None:
    problems = []
    for path in tracked():
        if path.suffix not in TEXT or path == Path("tests/test_tidy.py"):
            continue
        for number, line in enumerate(text_of(path).splitlines(), 1):
            if found := MACHINE_PATHS.search(line):
                problems.append(
                    f"{path}:{number}: '{found[0]}' is a path of one machine: use a relative path or an option"
                )
            if found := FORBIDDEN_WORDS.search(line):
                problems.append(f"{path}:{number}: '{found[0]}' does not belong in the product's text")
    report(problems)


def test_compiled_modules_are_declared() -> None:
    report([
        f"{path}: write {path.with_suffix('.pyi')}: type checkers and the check for missing modules read it"
        for path in sources(".pyx")
        if not (ROOT / path.with_suffix(".pyi")).exists()
    ])  # fmt: skip


def test_an_ignored_type_error_has_a_code_and_a_reason() -> None:
    excuse = re.compile(r"#\s*type:\s*ignore(?!\[[\w, -]+\]\s+#\s*\S)")
    report([
        f"{path}:{number}: say which error and why: `# type: ignore[code]  # reason`"
        for path in sources(".py", rooms=(*ROOMS, "tests"))
        if path != Path("tests/test_tidy.py")
        for number, line in enumerate(text_of(path).splitlines(), 1)
        if excuse.search(line)
    ])  # fmt: skip
