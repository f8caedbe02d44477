"""Signals and news on their way: who may publish is let through, what is given is kept, and then it is told.

One at a time is kept, so that ids grow in the order in which they are told. Must not know SQL, a socket, or who is
told.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Final, NamedTuple

import structlog

from oms.auth import require_publish
from oms.errors import OmsError
from oms.model import Principal
from oms.publications import model
from oms.publications.model import Body, Publication
from oms.store import publications
from oms.store.pool import UNAVAILABLE, Pool

log = structlog.get_logger(__name__)

RETRY_MS: Final = 1_000
DOUBTFUL_MAX: Final = 10_000

Told = Callable[[Publication], None]


class Accepted(NamedTuple):
    """What is kept, and whether it had been before: then nobody was told again."""

    publication: Publication
    replayed: bool


class Publications:
    """Of all channels."""

    def __init__(
        self,
        pool: Pool,
        *,
        kept: timedelta = timedelta(days=30),
        waiting_max: int = 1_000,
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        """`kept`: how long. `waiting_max`: how many may wait for the database."""
        self.pool = pool
        self.kept = kept
        self._waiting_max = waiting_max
        self._clock_ns = clock_ns
        self._turn = asyncio.Lock()
        self._waiting = 0
        self._listeners: list[Told] = []
        # Of which it is not known whether they were kept, and nobody was told: (channel, key, request id).
        self._doubtful: dict[tuple[str, int, str], None] = {}

    def listen(self, on_published: Told) -> None:
        """Tell of each when it is kept, in the order of their ids; synchronously."""
        self._listeners.append(on_published)

    def now_ns(self) -> int:
        """In the microseconds that the database keeps."""
        now_ns = self._clock_ns()
        return now_ns - now_ns % 1_000

    async def publish(self, principal: Principal, body: Body) -> Accepted:
        """Keep a body and tell of it; the same `request_id` of a key again only says what was kept. Raises OmsError."""
        require_publish(principal)
        given = model.made(body, principal.user_name, self.now_ns())
        if self._waiting >= self._waiting_max:
            raise OmsError("rate_limited", "too many publications wait for the database", retry_after_ms=RETRY_MS)
        doubt = (given.channel, principal.api_key_id, given.request_id) if given.request_id else None
        self._waiting += 1
        try:
            async with self._turn:
                found, is_new = await publications.add(self.pool, given, principal.api_key_id, self.kept)
                if found.body_hash != given.body_hash:
                    text = "request_id: this key has published something else under it"
                    raise OmsError("idempotency_conflict", text, details={"publication_id": found.id})
                if is_new or doubt in self._doubtful:
                    self._doubtful.pop(doubt, None) if doubt else None
                    self._tell(found)
                return Accepted(found, not is_new)
        except UNAVAILABLE as error:
            self._doubt(doubt)
            text = "the database is not available: publish it again, with its request_id"
            raise OmsError("engine_unavailable", text, retry_after_ms=RETRY_MS) from error
        finally:
            self._waiting -= 1

    async def publish_json(self, principal: Principal, channel: str, raw: bytes) -> Accepted:
        """The same of a body as JSON text."""
        require_publish(principal)
        return await self.publish(principal, model.parse(channel, raw))

    async def add_entries(self, feed: str, listed: Sequence[tuple[bytes, Publication]]) -> int:
        """Keep and tell what a feed lists and was not read of it before; returns how many."""
        async with self._turn:
            added = await publications.add_entries(self.pool, feed, listed, self.kept, self.now_ns())
            for publication in added:
                self._tell(publication)
        return len(added)

    def _tell(self, publication: Publication) -> None:
        for listener in self._listeners:
            try:
                listener(publication)
            except Exception:  # what is kept stays so, whoever cannot hear of it
                log.exception("publication not told", publication_id=publication.id)

    def _doubt(self, doubt: tuple[str, int, str] | None) -> None:
        if doubt is not None:
            self._doubtful[doubt] = None
            if len(self._doubtful) > DOUBTFUL_MAX:
                del self._doubtful[next(iter(self._doubtful))]
