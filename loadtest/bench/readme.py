"""README.md's figures: those of docs/benchmarks.md, read out of it, so that the two cannot say different things.

Pure: text in, text out. Must not know how anything is measured.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from loadtest.bench.report import table
from loadtest.swarm import ToolError

BEGIN: Final = "<!-- bench:begin -->"
END: Final = "<!-- bench:end -->"
SHOWN: Final = ("A", "B", "C")
COLUMNS: Final = {  # of docs/benchmarks.md -> as they are called here
    "server": "server",
    "msg/s": "messages/s",
    "p50 ms": "p50 ms",
    "p99 ms": "p99 ms",
    "CPU us/msg": "CPU µs/message",
    "KiB/conn": "KiB a connection",
}
OURS: Final = "tickwire"
CHECKED: Final = "tickwire, every stream checked"
FLOOR: Final = "C floor"
ABOUT_FLOOR: Final = """\
The *C floor* sends a ready frame to every socket and does nothing else, as many messages a send as the gateway; the
gateway numbers, stamps and counts. In C it sends everything at once, the gateway as its keys come."""
MORE: Final = """\
All workloads, goals and peers: [docs/benchmarks.md](docs/benchmarks.md); how cost grows:
[docs/scaling.md](docs/scaling.md); several processes: [docs/workers.md](docs/workers.md)."""

Row = Mapping[str, str]


def written(readme: str, document: str) -> str:
    """The README with what the document says between its two marks; as it was where either has nothing for it.

    Raises ToolError for a document that has not the tables that are shown.
    """
    before, begin, rest = readme.partition(BEGIN)
    _former, end, after = rest.partition(END)
    text = block(document) if begin and end else ""
    return f"{before}{BEGIN}\n{text}\n{END}{after}" if text else readme


def has_marks(readme: str) -> bool:
    """Both, in their order."""
    return END in readme.partition(BEGIN)[2]


def block(document: str) -> str:
    """What stands between the marks; nothing of a document without one of these workloads."""
    sections = {name: found for name in SHOWN if (found := _section(document, name))}
    if len(sections) < len(SHOWN):
        return ""
    shown, missing = [], 0
    for name, (title, rows) in sections.items():
        ours = [row for row in rows if row["server"] == OURS]
        floors = [row for row in rows if row["server"].startswith(FLOOR)]
        shown += [[f"{name}: {title}", *(row[column] for column in COLUMNS)] for row in (*ours, *floors)]
        missing += sum(_missing(row) for row in rows if row["server"] in (OURS, CHECKED))
    facts = {row["machine"]: row[""] for row in _rows(document.partition("\n## ")[0], "| machine")}
    lost = f"{missing} messages are missing" if missing else "No message is missing in any"
    where = (
        f"{facts['command']}, {facts['date']}, on {facts['processor']}, shared: server on one core, clients on another."
    )
    about_floor = [ABOUT_FLOOR] if any(row[1].startswith(FLOOR) for row in shown) else []
    return "\n\n".join(
        [
            "\n".join([where, *about_floor]),
            table(("workload", *COLUMNS.values()), shown),
            f"{lost}. {MORE}",
        ]
    )


def _section(document: str, name: str) -> tuple[str, list[Row]] | None:
    """A workload's title, and the rows of its first table."""
    found = re.search(rf"^## {name}: (.+?)\n(.*?)(?=^## |\Z)", document, re.MULTILINE | re.DOTALL)
    return (found[1], _rows(found[2], "| server")) if found else None


def _rows(text: str, head: str) -> list[Row]:
    """The first table whose head begins so, each row by the names of its columns. Raises ToolError without one."""
    at = text.find(f"\n{head}")
    if at < 0:
        raise ToolError(f"the page of benchmarks lacks a table that begins with `{head}`: nothing is written")
    lines = text[at + 1 :].split("\n\n", 1)[0].splitlines()
    names, _rule, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [dict(zip(names, row, strict=True)) for row in rows]


def _missing(row: Row) -> int:
    """Numbers that were not announced; a client that cannot tell counts as none, since another one checks it."""
    count = row["missing"].split()[0]
    return 0 if count == "-" else int(count)
