"""What a connection has had begun and is not over yet: bounded, and done whether or not the connection is still there.

Holds the count and what becomes of a failure. Must not know what is done.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

import structlog

from gateway.errors import TickwireError

if TYPE_CHECKING:
    from gateway.net.private import PrivateService

log = structlog.get_logger(__name__)

RETRY_MS: Final = 100  # after too much at once


class Running:
    """Of one connection."""

    def __init__(self, service: PrivateService) -> None:
        self._service = service
        self._count = 0

    def begin(
        self,
        work: Callable[[], Awaitable[None]],
        request_id: str,
        refuse: Callable[[TickwireError], None],
        urge: Callable[[int], None] = lambda more: None,
    ) -> None:
        """Have it done; `refuse` is told why it was not. Raises TickwireError where too much is running already.

        `urge` is told of one more who waits, from now on, and of one less when it is over, whatever became of it.
        """
        running_max = self._service.limits.commands_running_max
        if self._count >= running_max:
            text = "too many commands of this connection are running: wait for an answer"
            details = {"commands_running_max": running_max}
            raise TickwireError("rate_limited", text, details=details, retry_after_ms=RETRY_MS)
        self._count += 1
        urge(1)
        self._service.spawn(self._run(work, request_id, refuse, urge), f"command {request_id}")

    async def _run(
        self,
        work: Callable[[], Awaitable[None]],
        request_id: str,
        refuse: Callable[[TickwireError], None],
        urge: Callable[[int], None],
    ) -> None:
        try:
            await work()
        except TickwireError as error:
            refuse(error)
        except Exception:
            log.exception("command failed", request_id=request_id)
            refuse(TickwireError("internal_error", "the server failed on this request"))
        finally:
            self._count -= 1
            urge(-1)
