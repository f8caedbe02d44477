"""Faults of signed requests: what is carried out and what is answered part ways.

Decides what happens to the next requests; `private` does it. `POST /admin/faults`:

    lose    [request] [count] [accepted]        cut the connection instead of answering
    late    ms [request] [count] [accepted]     answer that much later; not accepted: carry out that much later
    fail    [status] [code] [request] [count] [accepted]
                                                answer with an error of the kind that says nothing of the order
    reject  [code] [message] [status] [request] [count]  refuse
    pretend [count]                             answer a cancel (DELETE order) as done, and keep the order as it is

`request` is a method and a path, `POST order` when it is not said; `accepted` says whether the request is carried out
all the same. Each request meets the oldest fault that waits for its kind.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from loadtest.exchange.commands import Command, CommandError, flag, number, text, whole
from loadtest.exchange.params import BinanceError

RequestKind = tuple[str, str]
DEFAULT_REQUEST = "POST order"
CANCEL_REQUEST = "DELETE order"
UNKNOWN_OUTCOME = "Timeout waiting for response from backend server. Send status unknown; execution status unknown."


class Trouble(NamedTuple):
    """What is to happen to one request, in this order; as it stands: nothing but what should."""

    carried_out_after_s: float = 0
    is_carried_out: bool = True
    refusal: BinanceError | None = None
    answered_after_s: float = 0
    is_answered: bool = True
    is_pretended: bool = False  # answered as if it had been carried out
    # Answered with this status instead of what there is to say; with a code it is worded as the exchange does.
    failure_status: int | None = None
    failure_code: int | None = None


NO_TROUBLE = Trouble()


@dataclass(slots=True)
class _Waiting:
    request: RequestKind
    trouble: Trouble
    left: int


class RequestFaults:
    def __init__(self, requests: Collection[RequestKind]) -> None:
        self._requests = requests
        self._waiting: list[_Waiting] = []
        self.kinds: Mapping[str, Callable[[Command], int]] = {
            "lose": self._lose,
            "late": self._late,
            "fail": self._fail,
            "reject": self._reject,
            "pretend": self._pretend,
        }

    def take(self, request: RequestKind) -> Trouble:
        """What the request that has just come in is to meet."""
        for waiting in self._waiting:
            if waiting.request == request:
                waiting.left -= 1
                if not waiting.left:
                    self._waiting.remove(waiting)
                return waiting.trouble
        return NO_TROUBLE

    def clear(self) -> None:
        self._waiting.clear()

    def status(self) -> Mapping[str, int]:
        return {"requests": sum(waiting.left for waiting in self._waiting)}

    def _wait(self, command: Command, trouble: Trouble) -> int:
        name = text(command, "request", DEFAULT_REQUEST)
        method, _, path = name.partition(" ")
        if (method, path) not in self._requests:
            known = ", ".join(f"{method} {path}" for method, path in self._requests)
            raise CommandError(f"request must be one of {known}")
        self._waiting.append(_Waiting((method, path), trouble, whole(command, "count", 1, least=1)))
        return 0

    def _lose(self, command: Command) -> int:
        accepted = flag(command, "accepted", default=True)
        return self._wait(command, Trouble(is_carried_out=accepted, is_answered=False))

    def _late(self, command: Command) -> int:
        late_s = number(command, "ms") / 1000
        if flag(command, "accepted", default=True):
            return self._wait(command, Trouble(answered_after_s=late_s))
        return self._wait(command, Trouble(carried_out_after_s=late_s))

    def _fail(self, command: Command) -> int:
        accepted = flag(command, "accepted", default=False)
        code = whole(command, "code") if "code" in command else None
        status = whole(command, "status", 503, least=400, most=599)
        return self._wait(command, Trouble(is_carried_out=accepted, failure_status=status, failure_code=code))

    def _reject(self, command: Command) -> int:
        status = whole(command, "status", 400, least=400, most=499)
        error = BinanceError(whole(command, "code", -2010), text(command, "message", "Rejected on command."), status)
        return self._wait(command, Trouble(refusal=error))

    def _pretend(self, command: Command) -> int:
        return self._wait({**command, "request": CANCEL_REQUEST}, Trouble(is_pretended=True))
