"""Logs: one set-up for our events and for the libraries' records, with secrets masked in both.

Holds how a log line looks and what must never be in one. Must not know who logs what.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any, Final, TextIO

import orjson
import structlog

MASK: Final = "***"

# Names whose values are secret, wherever they stand: fields of an event, headers, parts of a URL or a query string.
_NAME_OF_A_KEY: Final = (
    r"[\w-]*(?:api[_-]?key|secret|password|passphrase|private[_-]?key|token(?!s)|authorization|signature|cookie)[\w-]*"
)
_IS_SECRET: Final = re.compile(rf"{_NAME_OF_A_KEY}|sig", re.IGNORECASE)
_SECRET_TEXT: Final = re.compile(
    rf"""(?P<name>(?<![\w-])(?:{_NAME_OF_A_KEY}|sig)["']?\s*[=:]\s*["']?(?:(?:bearer|basic)\s+)?)(?P<value>[^\s"'&,;}})]+)"""
    r"|(?P<scheme>\bbearer[\s.]+)(?P<credential>[\w.~+/=-]{8,})"
    r"|(?P<login>//[^/\s:@]+:)(?P<password>[^/\s@]+)(?=@)"
    r"|(?P<shape>\btw_[0-9a-f]{12}_|\beyJ[\w-]{8,}\.)[\w.-]+",  # an API key or a token, whatever stands around it
    re.IGNORECASE,
)

# One line a connection at INFO, and ours says more.
_QUIET: Final = ("picows", "uvicorn", "asyncio", "ccxt", "aiohttp", "urllib3")


def mask(value: Any) -> Any:
    """`value` with every secret in it replaced, also inside tables, lists, and text such as a URL."""
    if isinstance(value, str):
        return mask_text(value)
    if isinstance(value, Mapping):
        return {
            key: MASK if isinstance(key, str) and _IS_SECRET.fullmatch(key) and item is not None else mask(item)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple | set | frozenset):
        return [mask(item) for item in value]
    return value


def mask_text(text: str) -> str:
    """`text` with secrets masked: `token=..`, `"apiKey": ".."`, `Bearer ..`, `//user:password@`, `tw_.._..`."""

    def masked(found: re.Match[str]) -> str:
        return f"{found['name'] or found['scheme'] or found['login'] or found['shape']}{MASK}"

    return _SECRET_TEXT.sub(masked, text)


def _mask_event(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Last before rendering, so that nothing is added behind it; our own bookkeeping keys hold no text of others."""
    for key, value in event.items():
        if not key.startswith("_"):
            event[key] = MASK if _IS_SECRET.fullmatch(key) and value is not None else mask(value)
    return event


def _render_json(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> str:
    return orjson.dumps(event, default=repr, option=orjson.OPT_NON_STR_KEYS).decode()


def configure(level: str = "info", layout: str = "auto", stream: TextIO | None = None) -> None:
    """Send every log line to `stream` (standard error): for people on a terminal, else one JSON object a line."""
    stream = sys.stderr if stream is None else stream
    is_console = layout == "console" or (layout == "auto" and stream.isatty())
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="%H:%M:%S" if is_console else "iso", utc=not is_console),
    ]
    # A traceback is turned into text before masking, because it may quote what it was given.
    ending: list[structlog.typing.Processor] = [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        structlog.processors.format_exc_info,
        _mask_event,
        structlog.dev.ConsoleRenderer(colors=stream.isatty()) if is_console else _render_json,
    ]
    handler = logging.StreamHandler(stream)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=ending))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in _QUIET:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
