"""Commands over HTTP: a body goes to the desk as it came, the answers come back under one status.

Holds which status the answers have, and what a reassignment may name. Must not know how a command is carried out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from litestar import MediaType, Request, Response, post
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import HeaderParameter

from oms.commands import decode
from oms.desk.results import http_status
from oms.resources.doors import Asks, Service, refusals
from oms.shapes import ErrorShape, Results

IdempotencyKey = Annotated[
    str | None,
    HeaderParameter(
        name="Idempotency-Key",
        min_length=1,
        max_length=120,
        description="The request_id of the whole body: of an array, each command has it with its index.",
    ),
]


def routes(service: Service, status_of: Callable[[str], int]) -> list[HTTPRouteHandler]:
    """`status_of` gives the HTTP status of a code of the catalogue."""

    @post(
        "/oms/commands",
        status_code=200,
        responses={
            202: ResponseSpec(Results, description="Nothing failed, and something is still under way."),
            207: ResponseSpec(Results, description="Some failed: `ok` says which."),
            **{
                status: ResponseSpec(Results | ErrorShape, description=f"{spec.description} Of an array: all failed.")
                for status, spec in refusals(409, 413, 502).items()
            },
        },
        tags=["commands"],
    )
    async def commands(
        request: Request[Any, Any, Any], principal: Asks, idempotency_key: IdempotencyKey = None
    ) -> Response[Results]:
        """Do one command, or an array of them; answered when each is done, or known to be doubtful.

        Those of an array begin in their order and go on side by side: send what must wait for another after its answer.

        The same `request_id` with the same payload is answered again and not done again.
        """
        body = decode(await request.body())
        results = await service.execute(principal, body, idempotency_key=idempotency_key)
        content: Any = {"results": [result.plain(index) for index, result in enumerate(results)]}
        return Response(content, status_code=http_status(results, status_of), media_type=MediaType.JSON)

    return [commands]
