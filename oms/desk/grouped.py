"""Looking things up in groups: while one question is under way the next ones gather, and go as one.

What group commit is for writing. Must not know what is looked up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Hashable, Mapping
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Grouped(Generic[K, V]):
    """Answers by key; what is not found is None."""

    def __init__(
        self, fetch: Callable[[Collection[K]], Awaitable[Mapping[K, V]]], *, shared: tuple[type[Exception], ...] = ()
    ) -> None:
        """`shared` are errors that no key is to blame for: they are everybody's who asked together. After any other
        one each key is asked for by itself, so that an error is its own only."""
        self._fetch = fetch
        self._shared = shared
        self._waiting: dict[K, asyncio.Future[V | None]] = {}
        self._task: asyncio.Task[None] | None = None

    async def get(self, key: K) -> V | None:
        """As it is after this was asked."""
        answer = self._waiting.get(key)
        if answer is None:
            answer = self._waiting[key] = asyncio.get_running_loop().create_future()
            if self._task is None:
                self._task = asyncio.create_task(self._work())
        return await asyncio.shield(answer)

    async def _work(self) -> None:
        try:
            while self._waiting:
                asked, self._waiting = self._waiting, {}
                await self._answer(asked)
        finally:
            self._task = None

    async def _answer(self, asked: Mapping[K, asyncio.Future[V | None]]) -> None:
        try:
            found = await self._fetch(list(asked))
        except Exception as error:
            if len(asked) > 1 and not isinstance(error, self._shared):
                for key, answer in asked.items():
                    await self._answer({key: answer})
                return
            for answer in asked.values():
                answer.set_exception(error)
                answer.exception()  # whoever asked may be gone
        else:
            for key, answer in asked.items():
                answer.set_result(found.get(key))
