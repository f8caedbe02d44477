"""How long an exchange is left in peace after it said that it is asked too much.

Holds one pause, shared by all who ask one exchange over HTTP, what an answer says about its length, and how a ccxt
class comes to keep it. Must not know feeds, markets or sockets.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from random import uniform
from time import monotonic, time
from typing import Any, Final

import structlog
from ccxt.base.errors import DDoSProtection, RateLimitExceeded

log = structlog.get_logger(__name__)

TOO_MUCH: Final = (DDoSProtection, RateLimitExceeded)  # what ccxt calls it, whatever the status

BANNED: Final = 418  # Binance's word for who went on after a 429
PAUSES_S: Final = {429: 5.0, BANNED: 60.0}  # by status, where the answer names no time
PAUSE_S: Final = PAUSES_S[429]  # said in other words than a status
PAUSE_S_MAX: Final = 3 * 86_400.0  # the longest ban of Binance; more is a mistake
JITTER: Final = 0.1  # of a pause, on top of it: gateways that were refused together do not come back together


class Pause:
    """Only ever grows: a shorter one within a longer one changes nothing."""

    def __init__(
        self, clock: Callable[[], float] = monotonic, jitter: Callable[[float, float], float] = uniform
    ) -> None:
        """`clock` in s, of any origin."""
        self._clock = clock
        self._jitter = jitter
        self._end_s = 0.0

    @property
    def rest_s(self) -> float:
        """What is left of it; 0: the exchange may be asked."""
        return max(0.0, self._end_s - self._clock())

    def check(self) -> None:
        """Raises RateLimitExceeded while it lasts."""
        if rest_s := self.rest_s:
            raise RateLimitExceeded(f"left in peace for {rest_s:.1f} s")

    def begin(self, pause_s: float) -> bool:
        """Ask nothing for at least so long; True: this is news, nothing was paused."""
        is_news = not self.rest_s
        self._end_s = max(self._end_s, self._clock() + pause_s + self._jitter(0, JITTER * pause_s))
        return is_news


def pause_of(status: int, headers: Mapping[str, str]) -> float | None:
    """How long an answer asks to be left in peace, in s; None: it does not."""
    if status not in PAUSES_S:
        return None
    said = next((value for name, value in headers.items() if name.lower() == "retry-after"), "").strip()
    if said.isascii() and said.isdecimal():
        return min(float(said), PAUSE_S_MAX)
    try:
        until = parsedate_to_datetime(said)
    except ValueError:
        return PAUSES_S[status]
    return min(max(0.0, until.timestamp() - time()), PAUSE_S_MAX)


class PauseMixin:
    """Goes in front of any ccxt class: whatever of it asks over HTTP keeps one pause, and notices when it begins."""

    pause: Pause

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__(config)  # type: ignore[call-arg]  # ccxt's class comes behind the mixin
        self.pause = Pause()

    async def throttle(self, *args: Any) -> None:
        """ccxt's rate limit: what is not going to be asked does not wait for it."""
        self.pause.check()
        await super().throttle(*args)  # type: ignore[misc]  # as above

    async def fetch(self, url: str, *args: Any, **options: Any) -> Any:
        """ccxt's one way to ask, behind its rate limit: a pause may have begun meanwhile."""
        self.pause.check()
        try:
            return await super().fetch(url, *args, **options)  # type: ignore[misc]  # as above
        except TOO_MUCH as error:
            if not self.pause.rest_s:  # said in words alone
                self._pause(url, PAUSE_S, f"{type(error).__name__}: {error}")
            raise

    def on_rest_response(self, code: int, reason: str, url: str, method: str, headers: Any, *rest: Any) -> Any:
        """Every answer, before ccxt makes an error of it that knows no headers any more."""
        if (pause_s := pause_of(code, headers)) is not None:
            self._pause(url, pause_s, f"{code} {reason}")
        return super().on_rest_response(code, reason, url, method, headers, *rest)  # type: ignore[misc]  # as above

    def _pause(self, url: str, pause_s: float, why: str) -> None:
        if self.pause.begin(pause_s):
            asked = url.partition("?")[0]
            log.warning("asked too much", url=asked, error=why[:200], pause_ms=round(self.pause.rest_s * 1000))
