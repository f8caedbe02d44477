"""What an account is worth, over HTTP: `GET /api/portfolio/{account_id}`.

Must not know how it is valued, nor who may see it: that is asked.
"""

from __future__ import annotations

from typing import Annotated, Any

from litestar import Response, get
from litestar.di import NamedDependency
from litestar.enums import MediaType
from litestar.handlers import HTTPRouteHandler
from litestar.params import PathParameter

from gateway.net.http_refusals import refusals
from gateway.net.portfolio import Portfolios
from gateway.wire.portfolio import portfolio_fields

AccountNumber = Annotated[int, PathParameter(ge=1, le=10**18 - 1)]


def portfolio_resource(portfolios: Portfolios) -> HTTPRouteHandler:
    @get("/api/portfolio/{account_id:int}", media_type=MediaType.JSON, responses=refusals())
    async def portfolio(account_id: AccountNumber, principal: NamedDependency[Any]) -> Response[dict[str, Any]]:
        """The same as the `portfolio` channel tells, as it is now."""
        portfolios.require(principal, account_id)
        return Response(portfolio_fields(await portfolios.now(account_id)), headers={"cache-control": "no-store"})

    return portfolio
