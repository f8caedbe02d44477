"""The table of API keys as the database has it: read at the start, and again whenever somebody changes it.

Holds when that is read, and the writing behind of when keys were used. Must not know what a key may do, that is
`auth`'s, nor who listens to the database.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from typing import Final

import structlog

from oms.auth import Auth
from oms.store import admin
from oms.store.changes import RETRY_S
from oms.store.pool import FAILURES, UNAVAILABLE, Pool
from oms.token_keys import TokenKey, new_signing_key
from oms.tokens import Tokens

log = structlog.get_logger(__name__)

TABLES: Final = frozenset({"users", "api_keys", "api_key_account_permissions", "revoked_tokens"})
USED_S: Final = 10.0  # how long the use of a key may wait to be written


class Keyring:
    """`auth`, kept current while `keep` runs."""

    def __init__(
        self, pool: Pool, token_keys: Sequence[TokenKey] = (), *, clock_ns: Callable[[], int] = time.time_ns
    ) -> None:
        """`token_keys`: the newest first; without one of ours a key is made that dies with the process."""
        tokens = Tokens(*token_keys, new_signing_key(), started_s=clock_ns() // 1_000_000_000)
        self.auth = Auth(tokens, clock_ns=clock_ns)
        self._pool = pool
        self._changed = asyncio.Event()

    async def load(self) -> None:
        """Read the tables. Until then no key is good."""
        revoked = await admin.revocations(self._pool)
        self.auth.replace(await admin.api_keys(self._pool), revoked)

    def heard(self, table: str | None) -> None:
        """A table was changed; None: any of them may have been. To be given to `oms.store.changes.follow`."""
        if table is None or table in TABLES:
            self._changed.set()

    async def keep(self, *, used_s: float = USED_S) -> None:
        """Until cancelled. While the database is away the keys read last are good, and it is tried again."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(used_s):
                    await self._changed.wait()
            try:
                await self._catch_up()
            except FAILURES as error:
                # That the database is away is said by the desk, and not every second by all who miss it.
                tell = log.debug if isinstance(error, UNAVAILABLE) else log.warning
                tell("the table of API keys cannot be read", error=str(error) or type(error).__name__)
                self._changed.set()
                await asyncio.sleep(RETRY_S)

    async def _catch_up(self) -> None:
        if self._changed.is_set():
            self._changed.clear()  # before reading, so that what changes meanwhile is read again
            await self.load()
        if used_ns := self.auth.take_used():
            await admin.touch_keys(self._pool, used_ns)
