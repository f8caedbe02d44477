"""Commands over HTTP: a body goes to the desk as it came, the answers come back under one status.

Holds which status the answers have. Must not know how a command is carried out.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Any, Final

import structlog
from litestar import MediaType, Request, Response, post
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import HeaderParameter

from oms import render
from oms.auth import may_see
from oms.commands import decode
from oms.desk.results import http_status
from oms.errors import OmsError
from oms.model import Principal
from oms.resources.doors import Asks, Service, refusals
from oms.resources.signatures import Nonce, Sig, SignedAt, signature_of
from oms.shapes import ErrorShape, Results
from oms.store import history
from oms.store.pool import UNAVAILABLE, Pool

log = structlog.get_logger(__name__)

IdempotencyKey = Annotated[
    str | None,
    HeaderParameter(
        name="Idempotency-Key",
        min_length=1,
        max_length=120,
        description="The request_id of the whole body: of an array, each command has it with its index.",
    ),
]
Prefer = Annotated[
    str | None,
    HeaderParameter(
        name="Prefer",
        description="`return=representation` (RFC 7240): an answer shows its `order` as it is now, and its `deals`.",
    ),
]
REPRESENTATION: Final = re.compile(r"(^|[,;\s])return\s*=\s*\"?representation\b", re.IGNORECASE)


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
        request: Request[Any, Any, Any],
        principal: Asks,
        idempotency_key: IdempotencyKey = None,
        prefer: Prefer = None,
        sig: Sig = None,
        signed_at: SignedAt = None,
        nonce: Nonce = None,
    ) -> Response[Results]:
        """Do one command, or an array of them; answered when each is done, or known to be doubtful.

        Those of an array begin in their order and go on side by side: send what must wait for another after its answer.

        The same `request_id` with the same payload is answered again and not done again.
        """
        raw = await request.body()  # signed are the Idempotency-Key, which no line break can be in, and the body
        signature = signature_of(sig, signed_at, nonce, (idempotency_key or "").encode() + b"\n" + raw)
        body = decode(raw)
        with service.waiting():
            results = await service.execute(principal, body, idempotency_key=idempotency_key, signature=signature)
        content: Any = {"results": [result.plain(index) for index, result in enumerate(results)]}
        if prefer is not None and REPRESENTATION.search(prefer):
            await _show(service.pool, principal, content["results"])
        return Response(content, status_code=http_status(results, status_of), media_type=MediaType.JSON)

    return [commands]


async def _show(pool: Pool, principal: Principal, answers: list[dict[str, Any]]) -> None:
    """Put the order into each answer that is about one. What was done stands, whether it can be shown or not."""
    ids = {answer["order_id"] for answer in answers if answer["order_id"] is not None}
    try:
        orders = await history.orders_by_ids(pool, ids) if ids else {}
        filled = [number for number, order in orders.items() if order.filled]
        deals = await history.deals_of_orders(pool, filled) if filled else {}
    except (OmsError, *UNAVAILABLE) as error:
        log.warning("orders cannot be shown", error=str(error) or type(error).__name__)
        return
    for answer in answers:
        order = orders.get(answer["order_id"])
        if order is not None and may_see(principal, order.account_id, order.strategy_id):
            answer["order"] = render.order_data(order)
            answer["deals"] = [render.deal_data(deal) for deal in deals.get(order.id, ())]
