"""The HTTP resources: health, metrics, and what the streams are and how they do (docs/protocol.md section 10).

Holds routes and how errors look over HTTP. Must not know sockets nor sessions: numbers come from `Stats`.
No page loads anything from another host, so there is no interactive documentation, only `/openapi.json`.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Final, NamedTuple
from uuid import uuid4

import structlog
from litestar import Litestar, MediaType, Request, Response, get
from litestar.di import NamedDependency, Provide
from litestar.exceptions import HTTPException
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.params import QueryParameter
from litestar.types import ControllerRouterHandler, ExceptionHandler
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from gateway.auth import CHALLENGE, Gate
from gateway.core.key import PRIVATE_CHANNELS, STREAM_CHANNELS, TIERS_MS
from gateway.errors import TickwireError
from gateway.limits import Limits
from gateway.log import mask_text
from gateway.net.dialects import ACCOUNT_PATH, SHARED_PATH
from gateway.net.http_auth import principal_dependencies, token_resource
from gateway.net.http_refusals import refusals
from gateway.net.roster import PAGE_MAX, Roster
from gateway.stats import Stats, StatsCollector
from gateway.wire.stream import STREAM_PATH

log = structlog.get_logger(__name__)

# HTTP's own refusals, in words of the catalogue; the status stays as HTTP has it.
CODE_OF_STATUS: Final[dict[int, str]] = {
    401: "not_authenticated",
    403: "permission_denied",
    404: "unsupported_action",
    405: "unsupported_action",
    429: "rate_limited",
}
SENTENCE_CHARS_MAX: Final = 1_000  # it may quote a name out of a body
FIELD_OF_OBJECT: Final = re.compile(r"^Object .* field `([^`]+)`$")  # missing or unknown, in msgspec's words


Page = Annotated[int, QueryParameter(ge=1, le=10**6)]
PageSize = Annotated[int, QueryParameter(ge=1, le=PAGE_MAX)]


class Mounted(NamedTuple):
    """What another room adds: its routes, how its errors read in ours, and what the OpenAPI document needs besides."""

    routes: Sequence[ControllerRouterHandler] = ()
    errors: Mapping[type[Exception], Callable[[Any], TickwireError]] = {}
    describe: Callable[[dict[str, Any]], dict[str, Any]] = lambda document: document


class _Described(JsonRenderPlugin):
    """The OpenAPI document with what was mounted."""

    def __init__(self, describe: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
        super().__init__(path="/")
        self._describe = describe

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        return super().render(request, self._describe(openapi_schema))


def build(
    stats: Stats,
    readiness: Callable[[], dict[str, bool]],
    limits: Limits,
    version: str,
    gate: Gate | None = None,
    mounted: Mounted = Mounted(),  # noqa: B008  # immutable
    remarks: Mapping[str, Callable[[], bool]] = {},
    more: Sequence[ControllerRouterHandler] = (),
    roster: Roster | None = None,
) -> Litestar:
    """The ASGI application. `readiness` names what must be true before traffic should come; `gate` knows the users.

    `remarks` are told beside what counts for being ready; `more` are what dialects have over HTTP; `roster`
    knows who is connected.
    """
    return Litestar(
        [
            *_own_routes(stats, readiness, remarks, roster, has_users=gate is not None),
            *([token_resource(gate)] if gate else []),
            *more,
            *mounted.routes,
        ],
        dependencies=principal_dependencies(gate) if gate else {"caller": Provide(lambda: None, sync_to_thread=False)},
        exception_handlers={
            **{kind: _translated(reads) for kind, reads in mounted.errors.items()},
            TickwireError: _known,
            HTTPException: _http,
            RecursionError: _too_deep,
            Exception: _crashed,
        },
        openapi_config=OpenAPIConfig(
            "Tickwire", version, path="/openapi.json", render_plugins=[_Described(mounted.describe)]
        ),
        request_max_body_size=limits.http_body_bytes_max,
        logging_config=None,
    )


def _own_routes(
    stats: Stats,
    readiness: Callable[[], dict[str, bool]],
    remarks: Mapping[str, Callable[[], bool]],
    roster: Roster | None,
    *,
    has_users: bool,
) -> list[ControllerRouterHandler]:
    registry = CollectorRegistry()
    registry.register(StatsCollector(stats))

    @get("/healthz", sync_to_thread=False)
    def healthz() -> dict[str, str]:
        """The process answers."""
        return {"status": "ok"}

    @get("/readyz", sync_to_thread=False)
    def readyz() -> Response[dict[str, Any]]:
        """It listens, and an exchange can be served."""
        checks = readiness()
        ready = all(checks.values())
        told = {name: remark() for name, remark in remarks.items()}
        return Response({"ready": ready, "checks": checks, **told}, status_code=200 if ready else 503)

    @get("/metrics", media_type=MediaType.TEXT, sync_to_thread=False)
    def metrics() -> Response[bytes]:
        """Prometheus text format."""
        return Response(generate_latest(registry), headers={"content-type": CONTENT_TYPE_LATEST})

    @get("/api/ws/channels", sync_to_thread=False)
    def channels() -> dict[str, Any]:
        """What can be subscribed to, and the throttle tiers there are."""
        rows = [
            {"name": row.name, "type": row.type, "delivery": row.delivery.name.lower(), "private": row.private}
            for row in (*STREAM_CHANNELS.values(), *PRIVATE_CHANNELS.values())
        ]
        return {"channels": rows, "throttle_tiers_ms": list(TIERS_MS)}

    @get("/api/ws/status", responses=refusals(), sync_to_thread=False)
    def status(caller: NamedDependency[Any], page: Page = 1, page_size: PageSize = 100) -> dict[str, Any]:
        """Connections, subscriptions, watches, rates, latency and drops; who is connected, for who may know."""
        told = stats.status(time.monotonic(), time.time_ns())
        if has_users and (caller is None or not caller.is_admin):
            del told["watches"]  # what one trades shows in them to the others
        return told | ({} if caller is None or roster is None else roster.told(caller, page, page_size))

    @get([STREAM_PATH, SHARED_PATH, ACCOUNT_PATH + "{account_id:str}"], include_in_schema=False, sync_to_thread=False)
    def stream() -> Response[dict[str, Any]]:
        """Here is a WebSocket, and nothing else."""
        response = _render(TickwireError("unsupported_action", "this is a WebSocket: upgrade the connection"), 426)
        response.headers.update({"upgrade": "websocket", "sec-websocket-version": "13"})
        return response

    return [healthz, readyz, metrics, channels, status, stream]


def _render(error: TickwireError, status: int) -> Response[dict[str, Any]]:
    headers = {} if error.retry_after_s is None else {"retry-after": str(error.retry_after_s)}
    if status == 401:
        headers.update([CHALLENGE])
    return Response(error.fields(uuid4().hex), status_code=status, media_type=MediaType.JSON, headers=headers)


def _translated(reads: Callable[[Any], TickwireError]) -> ExceptionHandler[Any]:
    def handler(request: Request[Any, Any, Any], error: Exception) -> Response[dict[str, Any]]:
        return _known(request, reads(error))

    return handler


def _known(_request: Request[Any, Any, Any], error: TickwireError) -> Response[dict[str, Any]]:
    return _render(error, error.status)


def _too_deep(_request: Request[Any, Any, Any], _error: RecursionError) -> Response[dict[str, Any]]:
    """Of a body, which Litestar has somebody decode who tells of depth in this way only."""
    return _render(TickwireError("validation_error", "the body is nested too deeply"), 422)


def _http(_request: Request[Any, Any, Any], error: HTTPException) -> Response[dict[str, Any]]:
    status = error.status_code
    code = CODE_OF_STATUS.get(status, "validation_error" if status < 500 else "internal_error")
    # Litestar answers 400 to what does not fit the declared types; the catalogue says 422.
    if status == 400:
        status = 422
    # Its sentence may quote the URL, in which a confused client has put its token: answers are kept in logs, too.
    field, message = _wrong(error)
    told = TickwireError(
        code, mask_text(message[:SENTENCE_CHARS_MAX]), details={"field": field[:SENTENCE_CHARS_MAX]} if field else None
    )
    response = _render(told, status)
    response.headers.update(error.headers or {})
    return response


def _wrong(error: HTTPException) -> tuple[str | None, str]:
    """What of a request is wrong, by name where it is a part of it, and a sentence that says so."""
    first = error.extra[0] if isinstance(error.extra, list) and error.extra else None
    if not isinstance(first, dict) or "key" not in first or "message" not in first:
        return None, error.detail
    field = str(first["key"]).removesuffix("_")  # how a handler spells what is no name in Python, such as `from`
    if field == "data":  # the body itself
        field = ""
    if named := FIELD_OF_OBJECT.search(str(first["message"])):
        field = f"{field}.{named[1]}".lstrip(".")
    field = field or "body"
    return field, f"{field}: {first['message']}"


def _crashed(request: Request[Any, Any, Any], error: Exception) -> Response[dict[str, Any]]:
    response = _render(TickwireError("internal_error", "the server failed on this request"), 500)
    log.error("request failed", path=request.url.path, request_id=response.content["request_id"], exc_info=error)
    return response
