"""Logs: one set-up for our events and for the libraries' records, with secrets masked in both.

Holds how a log line looks and what must never be in one. Must not know who logs what.
"""

from __future__ import annotations

import datetime
import logging
import re
import sys
import threading
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from typing import Any, Final, TextIO

import orjson
import structlog

MASK: Final = "***"

# Names whose values are secret, wherever they stand: fields of an event, headers, parts of a URL or a query string.
# Each word is looked through once: a peer may have written one of a megabyte, of nothing but such names.
_NAME_OF_A_KEY: Final = (
    r"(?=[\w-]*?(?:api[_-]?key|secret|password|passphrase|private[_-]?key|token(?!s)|authorization|signature|cookie))"
    r"[\w-]++"
)
_IS_SECRET: Final = re.compile(rf"{_NAME_OF_A_KEY}|sig", re.IGNORECASE)
_SECRET_TEXT: Final = re.compile(
    rf"""(?P<name>(?<![\w-])(?:{_NAME_OF_A_KEY}|sig)["']?\s*(?:[=:]|%3D)\s*["']?(?:(?:bearer|basic)\s+)?)(?P<value>[^\s"'&,;}})]+)"""
    r"|(?P<scheme>\bbearer[\s.]+)(?P<credential>[\w.~+/=-]{8,})"
    r"|(?P<login>//[^/\s:@]+:)(?P<password>[^/\s@]+)(?=@)"
    r"|(?P<pem>-----BEGIN [A-Z ]*PRIVATE KEY-----)[^-]*"
    r"|(?P<shape>\btw_[0-9a-f]{12}_|\beyJ[\w-]{8,}\.)[\w.-]+",  # an API key or a token, whatever stands around it
    re.IGNORECASE,
)

# One line a connection at INFO, and ours says more.
_QUIET: Final = ("picows", "uvicorn", "asyncio", "ccxt", "aiohttp", "urllib3")


def mask(value: Any) -> Any:
    """`value` with every secret in it replaced, also inside tables, lists, and text such as a URL.

    What is none of these is turned into text first: what it is shown as may hold one.
    """
    if isinstance(value, str):
        return mask_text(value)
    if value is None or isinstance(value, bool | int | float | datetime.date):
        return value
    if isinstance(value, Mapping):
        return {_key(key): MASK if item is not None and _is_secret(key) else mask(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        items = list(value)
        if len(items) == 2 and _is_secret(items[0]):  # a header, as ASGI has them
            return [mask(items[0]), MASK]
        return [mask(item) for item in items]
    return mask_text(repr(value))


def _key(key: Any) -> Any:
    """As it can be written."""
    return key if key is None or isinstance(key, str | int | float) else mask_text(repr(key))


def _is_secret(name: Any) -> bool:
    text = name.decode("latin-1") if isinstance(name, bytes) else name
    return isinstance(text, str) and _IS_SECRET.fullmatch(text) is not None


def mask_text(text: str) -> str:
    """`text` with secrets masked: `token=..`, `"apiKey": ".."`, `Bearer ..`, `//user:password@`, `tw_.._..`."""

    def masked(found: re.Match[str]) -> str:
        return f"{found['name'] or found['scheme'] or found['login'] or found['pem'] or found['shape']}{MASK}"

    return _SECRET_TEXT.sub(masked, text)


def _mask_event(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Last before rendering, so that nothing is added behind it; our own bookkeeping keys hold no text of others."""
    for key, value in event.items():
        if not key.startswith("_"):
            event[key] = MASK if _IS_SECRET.fullmatch(key) and value is not None else mask(value)
    return event


def _render_json(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> str:
    return orjson.dumps(event, default=repr, option=orjson.OPT_NON_STR_KEYS).decode()


class _Handler(logging.StreamHandler[TextIO]):
    """One that does not repeat a line that it could not write: that would be as it was before masking."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  # its name in `logging`
        kind = sys.exc_info()[0]
        reason = kind.__name__ if kind else "unknown"
        sys.stderr.write(f"tickwire: a line of {record.name} cannot be logged: {reason}\n")


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
    handler = _Handler(stream)
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


@contextmanager
def masking_uncaught(*known: type[Exception]) -> Iterator[None]:
    """What nobody catches, in this thread or another one, is a line of the log like any other, and in this one the end
    (exit code 1). Python would write it past the log, with all that it quotes. `known` are somebody else's to tell.
    """
    log = structlog.get_logger(__name__)
    in_threads, in_finalizers = threading.excepthook, sys.unraisablehook

    def in_thread(args: threading.ExceptHookArgs) -> None:
        if args.exc_value is not None and not issubclass(args.exc_type, SystemExit):
            log.error("a thread has failed", thread=args.thread and args.thread.name, exc_info=args.exc_value)

    def in_finalizer(args: sys.UnraisableHookArgs) -> None:
        log.error("an exception that cannot be raised", where=repr(args.object), exc_info=args.exc_value)

    threading.excepthook, sys.unraisablehook = in_thread, in_finalizer
    try:
        yield
    except known:
        raise
    except Exception:
        log.critical("the process has failed", exc_info=True)
        raise SystemExit(1) from None
    finally:
        threading.excepthook, sys.unraisablehook = in_threads, in_finalizers
