"""ccxt's unified functions over HTTP: a function by its name, its arguments in the body.

Holds how a call is spelled. Must not know which functions there are, nor who answers.
"""

from __future__ import annotations

from typing import Annotated, Any, Protocol

import msgspec
from litestar import MediaType, Request, Response, Router, post
from litestar.di import NamedDependency
from litestar.handlers import HTTPRouteHandler
from litestar.params import PathParameter
from msgspec import Struct

from oms.commands import decode
from oms.errors import OmsError
from oms.model import Principal
from oms.passing.calls import FUNCTIONS
from oms.resources.doors import refusals
from oms.shapes import PassedResult

AccountId = Annotated[int, PathParameter(ge=1, le=10**18 - 1)]
Func = Annotated[str, PathParameter(description="A unified function of ccxt, in snake_case or camelCase.")]

# Who asks, None when nobody says so: whoever composes the application says who that is.
Caller = NamedDependency[Principal | None]


class Body(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    args: list[Any] = []
    kwargs: dict[str, Any] = {}


class Calls(Protocol):
    """Who answers (`oms.passing.service`)."""

    async def call(
        self, principal: Principal | None, account_id: int, func: str, args: list[Any], kwargs: dict[str, Any]
    ) -> bytes:
        """JSON. Raises OmsError."""


def router(calls: Calls) -> Router:
    """To be mounted by whoever composes the application."""
    return Router("/", route_handlers=routes(calls))


def routes(calls: Calls) -> list[HTTPRouteHandler]:
    """Both spellings of a call."""

    @post("/ccxt/{account_id:int}/{func:str}", status_code=200, responses=refusals(409, 413, 502), tags=["ccxt"])
    async def call(
        request: Request[Any, Any, Any], caller: Caller, account_id: AccountId, func: Func
    ) -> Response[PassedResult]:
        """Call a function with `args` and `kwargs`, as a ccxt program would."""
        body = await _decoded(request)
        try:
            given = msgspec.convert(body, Body)
        except msgspec.ValidationError as error:
            raise OmsError("validation_error", str(error), details={"exception": "BadRequest"}) from None
        return _answered(await calls.call(caller, account_id, func, given.args, given.kwargs))

    @post("/ccxt/core/{account_id:int}/{func:str}", status_code=200, responses=refusals(409, 413, 502), tags=["ccxt"])
    async def call_by_names(
        request: Request[Any, Any, Any], caller: Caller, account_id: AccountId, func: Func
    ) -> Response[PassedResult]:
        """Call a function; the body has its arguments by their names."""
        body = await _decoded(request)
        if not isinstance(body, dict):
            raise OmsError("validation_error", "the body is no object", details={"exception": "BadRequest"})
        return _answered(await calls.call(caller, account_id, func, [], body))

    return [call, call_by_names]


async def _decoded(request: Request[Any, Any, Any]) -> object:
    """No body is one without arguments."""
    body = await request.body()
    return decode(body) if body.strip() else {}


def _answered(result: bytes) -> Response[PassedResult]:
    content: Any = b'{"result":' + result + b"}"
    return Response(content, media_type=MediaType.JSON)


def describe(document: dict[str, Any]) -> dict[str, Any]:
    """The document with what both take, which is read as it comes to keep every digit; the given one is changed."""
    given = {
        "type": "object",
        "properties": {"args": {"type": "array"}, "kwargs": {"type": "object"}},
        "additionalProperties": False,
    }
    for path, schema in (("/ccxt/{account_id}/{func}", given), ("/ccxt/core/{account_id}/{func}", {"type": "object"})):
        operation = document["paths"][path]["post"]
        operation["requestBody"] = {"required": False, "content": {"application/json": {"schema": schema}}}
        for parameter in operation["parameters"]:
            if parameter["name"] == "func":
                parameter["schema"] = {"type": "string", "enum": sorted(FUNCTIONS)}
    return document
