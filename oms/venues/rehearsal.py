"""What ccxt would send for a call, found out without sending it: the call runs up to its request, and no further.

Must not know what is asked for, nor an exchange.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from contextvars import ContextVar
from typing import Any, Final

import msgspec


class Meant(msgspec.Struct, frozen=True):
    """A request of ccxt before it is signed."""

    api: Any  # one name, or several of them
    method: str
    path: str
    params: Mapping[str, Any]

    def only_adds_to(self, other: Meant) -> bool:
        """Whether it goes where the other goes, and says all that the other says."""
        same = (self.api, self.method, self.path) == (other.api, other.method, other.path)
        return same and all(name in self.params and self.params[name] == value for name, value in other.params.items())


class Reached(BaseException):
    """The call came to its request."""

    def __init__(self, meant: Meant) -> None:
        super().__init__()
        self.meant = meant


_RUNNING: Final[ContextVar[bool]] = ContextVar("_RUNNING", default=False)


def stop_here(api: Any, method: str, path: str, params: Mapping[str, Any]) -> None:
    """To be called before a request is sent: during a rehearsal it does not come back."""
    if _RUNNING.get():
        raise Reached(Meant(api, method, path, params))


def rehearse(call: Callable[[], Coroutine[Any, Any, Any]]) -> Meant | None:
    """The first request of the call; None when it has to wait for something before. Raises what the call raises."""
    token = _RUNNING.set(True)
    coroutine = call()
    try:
        coroutine.send(None)
    except Reached as reached:
        return reached.meant
    except StopIteration:
        return None
    finally:
        coroutine.close()
        _RUNNING.reset(token)
    return None
