"""When something is tried again, and how long to wait before: exponential backoff with full jitter.

Pure but for chance. Must not know what is tried: who asks says what may be.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any, NamedTuple

from driver.errors import refusal_of


class Policy(NamedTuple):
    """At most `tries` in all, none of which begins later than `within_ms` after the first."""

    tries: int = 4
    delay_ms: float = 100
    delay_ms_max: float = 2_000
    within_ms: float = 10_000

    @classmethod
    def of_options(cls, options: Mapping[str, Any], within_ms: float, tries: int = 4) -> Policy:
        """As `options["retries"]` says: a number of tries, or any of the fields; else these."""
        asked = options.get("retries")
        given = {"tries": asked} if isinstance(asked, int) else dict(asked or {})
        return cls(**{"within_ms": within_ms, "tries": tries, **given})

    def delay_before(self, number: int, error: Exception, elapsed_ms: float) -> float | None:
        """How long to wait before try `number` (the second is 1) after this error; None: there is none.

        What is refused for good is the asker's to know.
        """
        if number >= self.tries:
            return None
        longest = min(self.delay_ms_max, self.delay_ms * 2 ** (number - 1))
        said = refusal_of(error)
        asked_ms = said.retry_after_ms if said is not None else None
        delay_ms = (asked_ms or 0) + random.uniform(0, longest)  # noqa: S311  # not a secret
        return delay_ms if elapsed_ms + delay_ms < self.within_ms else None
