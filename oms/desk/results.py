"""What a command is answered with, and what a whole body of them is.

Holds values, and how they are stored and told. Must not know how a command is carried out, nor an HTTP status.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from oms.errors import OmsError


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What carrying out a command came to. `more` is told beside the fields that every answer has."""

    order_id: int | None = None
    error: OmsError | None = None
    more: Mapping[str, Any] = {}

    @property
    def stored(self) -> dict[str, Any]:
        """As it is kept with its command, JSON-ready."""
        error = None if self.error is None else describe(self.error)
        return {"ok": error is None, "order_id": self.order_id, "error": error, **self.more}


class CommandResult(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to one command of a body. `running`: it is not over yet, ask again with the same request_id."""

    ok: bool
    command_id: int | None = None
    order_id: int | None = None
    error: Mapping[str, Any] | None = None
    replayed: bool = False
    running: bool = False
    more: Mapping[str, Any] = {}

    @classmethod
    def of_stored(cls, command_id: int, stored: Mapping[str, Any], *, replayed: bool) -> CommandResult:
        """What `Outcome.stored` kept."""
        more = {name: value for name, value in stored.items() if name not in {"ok", "order_id", "error"}}
        return cls(
            ok=stored["ok"],
            command_id=command_id,
            order_id=stored["order_id"],
            error=stored["error"],
            replayed=replayed,
            more=more,
        )

    @classmethod
    def of_refusal(cls, error: OmsError) -> CommandResult:
        """Of what was not worth a row: nobody may have it done, or nobody can tell what it is."""
        return cls(ok=False, error=describe(error))

    def plain(self, index: int) -> dict[str, Any]:
        """As it is told, JSON-ready."""
        flags = {name: True for name in ("replayed", "running") if getattr(self, name)}
        return {
            "index": index,
            "ok": self.ok,
            "command_id": self.command_id,
            "order_id": self.order_id,
            "error": self.error,
            **self.more,
            **flags,
        }


def describe(error: OmsError) -> dict[str, Any]:
    """A refusal as it is stored and told."""
    more = {"details": error.details, "retry_after_ms": error.retry_after_ms}
    said = {name: value for name, value in more.items() if value is not None}
    return {"code": error.code, "message": error.message, **said}


def http_status(results: Sequence[CommandResult], status_of: Callable[[str], int]) -> int:
    """200 when all are done, 202 when all of them or the rest still run, 207 when some failed, else the first's."""
    failed = [result for result in results if result.error is not None]
    if not failed:
        return 202 if any(result.running for result in results) else 200
    if len(failed) < len(results):
        return 207
    assert failed[0].error is not None
    return status_of(failed[0].error["code"])
