"""Principals over HTTP: `GET /api/ws/token`, and the dependency by which any resource asks who sends a request.

Holds where a request's principal comes from. Must not know what principals may do.
"""

from __future__ import annotations

from typing import Any

from litestar import Request, Response, get
from litestar.di import Provide
from litestar.handlers import HTTPRouteHandler

from gateway.auth import Gate, Principal, Verdict
from gateway.errors import TickwireError
from gateway.net.http_protocol import IDENTIFIED


def token_resource(gate: Gate) -> HTTPRouteHandler:
    """How an API key becomes something that may stand in a browser and in a URL."""

    @get("/api/ws/token", sync_to_thread=False)
    def token(request: Request[Any, Any, Any]) -> Response[dict[str, Any]]:
        """A token for one connection, made of the API key in x-api-key or Authorization."""
        verdict = _identify(gate, request)
        if verdict.is_token:
            raise TickwireError("permission_denied", "a token does not make another: send the API key")
        made = gate.authenticator.token(verdict)
        content = {"token": made.token, "expires_in_s": made.expires_in_s}
        return Response(content, headers={"cache-control": "no-store"})

    return token


def principal_dependencies(gate: Gate) -> dict[str, Provide]:
    """For handlers that name a parameter `principal`: whoever sends nothing, or nothing good, gets no further.

    With a parameter `caller` it is None for whoever sends nothing.
    """

    def principal(request: Request[Any, Any, Any]) -> Principal:
        found = _identify(gate, request).principal
        assert found is not None
        return found

    def caller(request: Request[Any, Any, Any]) -> Principal | None:
        try:
            return principal(request)
        except TickwireError as error:
            if error.code != "missing_api_key":
                raise
            return None

    return {"principal": Provide(principal, sync_to_thread=False), "caller": Provide(caller, sync_to_thread=False)}


def _identify(gate: Gate, request: Request[Any, Any, Any]) -> Verdict:
    try:
        verdict = gate.identify(request.headers, request.client.host if request.client else "")
    except TickwireError as error:
        if error.code == "rate_limited":  # the key's own rate, which has counted it
            _tell_identified(request)
        raise
    _tell_identified(request)
    return verdict


def _tell_identified(request: Request[Any, Any, Any]) -> None:
    """The port, once a request. One whose credentials are not good stays counted by its address."""
    told = request.scope["state"].pop(IDENTIFIED, None)
    if told is not None:
        told()
