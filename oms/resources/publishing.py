"""Signals and news over HTTP: publish one, list those that were.

Holds who may ask for what. Must not know how one is kept, nor who is told.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from litestar import MediaType, Response, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import JSONBody, QueryParameter

from oms.publications.model import Channel, News, Publication, Signal
from oms.publications.service import Accepted
from oms.resources.doors import Asks, Service, refusals
from oms.shapes import NewsPage, PublishedShape, SignalPage
from oms.store import publications
from oms.store.history import PAGE_MAX

Symbol = Annotated[str | None, QueryParameter(name="symbol", min_length=1, max_length=128, pattern=r"^[^\x00]*\Z")]
Source = Annotated[str | None, QueryParameter(name="source", min_length=1, max_length=64, pattern=r"^[^\x00]*\Z")]
BeforeId = Annotated[int | None, QueryParameter(name="before_id", ge=1, le=10**18 - 1)]
PageSize = Annotated[int, QueryParameter(name="page_size", ge=1, le=PAGE_MAX)]

AGAIN = {200: ResponseSpec(PublishedShape, description="This request_id was published before, and is not told again.")}


def routes(service: Service) -> list[HTTPRouteHandler]:
    """Of both channels."""

    async def page(
        channel: Channel, symbol: str | None, source: str | None, before_id: int | None, page_size: int
    ) -> Any:
        rows = await publications.newest(
            service.pool, channel, symbol=symbol, source=source, before_id=before_id, limit=page_size
        )
        is_full = len(rows) == page_size
        return {"items": [_item(row) for row in rows], "next_before_id": rows[-1].id if is_full else None}

    @post("/api/signals", responses={**AGAIN, **refusals(409)}, tags=["publications"])
    async def publish_signal(principal: Asks, data: JSONBody[Signal]) -> Response[PublishedShape]:
        """Keep a signal and tell it; with an API key that has the scope `publish`."""
        return _answer(await service.publications.publish(principal, data))

    @post("/api/news", responses={**AGAIN, **refusals(409)}, tags=["publications"])
    async def publish_news(principal: Asks, data: JSONBody[News]) -> Response[PublishedShape]:
        """Keep a piece of news and tell it; with an API key that has the scope `publish`."""
        return _answer(await service.publications.publish(principal, data))

    @get("/api/signals", responses=refusals(), tags=["publications"])
    async def signals(
        principal: Asks, symbol: Symbol = None, source: Source = None, before_id: BeforeId = None,
        page_size: PageSize = 100,
    ) -> SignalPage:  # fmt: skip
        """Signals, the newest first; with any API key."""
        found: SignalPage = await page("signals", symbol, source, before_id, page_size)
        return found

    @get("/api/news", responses=refusals(), tags=["publications"])
    async def news(
        principal: Asks, symbol: Symbol = None, source: Source = None, before_id: BeforeId = None,
        page_size: PageSize = 100,
    ) -> NewsPage:  # fmt: skip
        """News, the newest first; with any API key."""
        found: NewsPage = await page("news", symbol, source, before_id, page_size)
        return found

    return [publish_signal, publish_news, signals, news]


def _item(row: Publication) -> dict[str, Any]:
    return {"id": row.id, **msgspec.json.decode(row.data)}


def _answer(accepted: Accepted) -> Response[PublishedShape]:
    content: PublishedShape = {"id": accepted.publication.id, "replayed": accepted.replayed}
    return Response(content, status_code=200 if accepted.replayed else 201, media_type=MediaType.JSON)
