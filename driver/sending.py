"""What a command has come to over all its tries: whether it is sent again, and what the program is told in the end.

Once a try may have arrived, only what is said of the command itself is an end. Pure but for chance. Must not know how
a command travels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ccxt.base.errors import BaseError, ExchangeClosedByUser, NetworkError

from driver.errors import Refusal, RouteMissing, exception_of, is_missing_by_its_word, refusal_of
from driver.retries import Policy

DOUBTFUL: Final = frozenset({"internal_error", "outcome_unknown"})  # nothing is refused by these
UNKNOWN_BY: Final = DOUBTFUL | {"engine_unavailable"}  # whether it was done is not said by these
# Said of a command that another try may find done, or have done.
PASSING: Final = frozenset({"rate_limited", "engine_unavailable"})
UNKNOWN: Final = "outcome_unknown"
NOT_BEGUN: Final = "rate_limited"  # the only one of NetworkError's codes that says so


class Sending:
    """Of one body of commands, or of one call that becomes a command. `is_in_doubt`: it may have arrived."""

    def __init__(self, policy: Policy, names: Sequence[str] = ()) -> None:
        """`names` are the clientOrderIds by which what it makes can be found."""
        self.is_in_doubt = False
        self._policy = policy
        self._names = names
        self._tries = 0

    def delay_after(self, error: BaseError, elapsed_ms: float) -> float:
        """How long to wait, in ms, before it is sent again. Raises what the program is told when it is not.

        That is the error itself when nothing can have been done, or when it is about the command itself; else what
        `unknown` makes of it.
        """
        self._tries += 1
        said = refusal_of(error)
        self.is_in_doubt = self.is_in_doubt or not _is_refused(error, said)
        if said is not None and _is_own(said) and _is_final(error, said):
            raise error
        delay_ms = None
        is_from_between = self.is_in_doubt and (said is None or said.code in {None, *DOUBTFUL})
        if (isinstance(error, NetworkError) or is_from_between) and not _is_closed(error):
            delay_ms = self._policy.delay_before(self._tries, error, elapsed_ms)
        if delay_ms is not None:
            return delay_ms
        if not self.is_in_doubt:
            raise error
        if said is None or said.code is None:
            raise self.unknown(str(error)) from error
        code = said.code if isinstance(error, NetworkError) and said.code != NOT_BEGUN else UNKNOWN
        raise self.unknown(said.message, said.order_id, code) from error

    def unknown(self, why: str, order_id: int | None = None, code: str = UNKNOWN) -> BaseError:
        """Nobody knows what became of it: the exception, a NetworkError, says by what it can be found."""
        by = f"; look for clientOrderId {', '.join(self._names)}" if self._names else ""
        return exception_of(Refusal(code, f"{why}{by}", order_id=order_id))


def _is_refused(error: BaseError, said: Refusal | None) -> bool:
    """Nothing can have been done by this try."""
    if isinstance(error, RouteMissing):
        return is_missing_by_its_word(error)
    if isinstance(error, NetworkError):
        return said is not None and said.code == NOT_BEGUN
    return said is None or said.code != "internal_error"


def _is_closed(error: BaseException) -> bool:
    """The program wants nothing any more: another try would open anew what it has closed."""
    return isinstance(error, ExchangeClosedByUser) or isinstance(error.__cause__, ExchangeClosedByUser)


def _is_own(said: Refusal) -> bool:
    """It is about this command, not about the request that brought it."""
    return bool(said.results) or said.details.get("command_id") is not None


def _is_final(error: BaseError, said: Refusal) -> bool:
    """No other try would be answered with something else."""
    if said.code == NOT_BEGUN and said.order_id is not None:
        return True  # it was begun: by this the exchange refused it, and it is answered with that again
    if said.results:
        is_kept = said.results[0].get("command_id") is not None
        return said.code not in PASSING and (is_kept or not isinstance(error, NetworkError))
    return said.code not in PASSING | DOUBTFUL  # without results a command that is under way is doubtful too
