"""What a request came to, from how it failed: ccxt's exceptions as `Refused` or `Ambiguous`.

Pure. ccxt calls some outcomes an error of the exchange that nobody knows (an answer that broke off) and some a matter
of the network that are answers (a status it has no name for), so how far the request came counts more than the name.
Must not know a venue.
"""

from __future__ import annotations

import json
import re
from typing import Final

import aiohttp
from ccxt.base import errors as ccxt

from oms.venues.base import Ambiguous, OnTurn, Refused, at_any_time

# The most special class that fits says the code.
CODES: Final[dict[type[Exception], str]] = {
    ccxt.InsufficientFunds: "insufficient_funds",
    ccxt.OrderNotFound: "order_not_found",
    ccxt.OrderNotCached: "order_not_found",
    ccxt.DuplicateOrderId: "duplicate_client_order_id",
    ccxt.BadSymbol: "unknown_symbol",
    ccxt.InvalidOrder: "validation_error",
    ccxt.BadRequest: "validation_error",
    ccxt.ArgumentsRequired: "validation_error",
    ccxt.NotSupported: "unsupported_action",
    ccxt.DDoSProtection: "rate_limited",
    ccxt.RateLimitExceeded: "rate_limited",
    ccxt.InvalidNonce: "exchange_error",  # our clock, or a request that came too late: it was not carried out
    ccxt.OnMaintenance: "exchange_unavailable",
    ccxt.OperationFailed: "exchange_unavailable",
    # Our credentials at the venue, not those of who asks us.
    ccxt.AuthenticationError: "exchange_error",
    ccxt.ExchangeError: "exchange_error",
}
# What ccxt has no class for, in the exchange's own words.
WORDS: Final = {"Duplicate order sent.": "duplicate_client_order_id"}
# What says that it was not done; ccxt calls some of it the network's fault.
ANSWERS: Final = (ccxt.ExchangeError, ccxt.DDoSProtection, ccxt.RateLimitExceeded, ccxt.InvalidNonce)
# Statuses that say nothing of what was done, although they blame the request.
OPEN_STATUSES: Final = frozenset({408, 409, 425, 499})
THROTTLED_STATUSES: Final = frozenset({418, 429})
KEY_STATUSES: Final = frozenset({401, 403})  # it is the key that is refused
TEXT_CHARS_MAX: Final = 300
QUERY: Final = re.compile(r"(\w+://[^\s?]+)\?\S*")


class Sending:
    """How far a request came."""

    def __init__(self, on_turn: OnTurn = at_any_time) -> None:
        self.on_turn = on_turn
        self.sent = False  # handed to the network, for all we know
        self.status: int | None = None  # of the answer, once it was read whole
        self.body = ""
        self.taken = False  # the answer was no error; what fails after it is our reading of it


def of_write(error: Exception, sending: Sending) -> Refused | Ambiguous:
    """What a request that changes something came to. In doubt it is `Ambiguous`."""
    if never_left(error) or not sending.sent:
        return _refused(error, None, f"not sent: {describe(error)}")
    if sending.taken or sending.status is None or sending.status >= 500:
        return Ambiguous(describe(error))
    if isinstance(error, ANSWERS):
        return _refused(error, sending.status, describe(error))
    refused = isinstance(error, ccxt.ExchangeNotAvailable) and sending.status >= 400
    if refused and sending.status not in OPEN_STATUSES:
        return Refused("exchange_error", describe(error))
    return Ambiguous(describe(error))


def of_read(error: Exception, sending: Sending) -> Refused | Ambiguous:
    """The same of a request that changes nothing: `Ambiguous` when the venue said nothing of what was asked."""
    if not isinstance(error, ccxt.BaseError) and isinstance(error.__context__, ccxt.BaseError):
        error = error.__context__  # ccxt 4.5.90 stumbles when it cleans up after a refused private stream
    if isinstance(error, ANSWERS) and (sending.status is not None or not sending.sent):
        return _refused(error, sending.status, describe(error))
    return Ambiguous(describe(error))


def never_left(error: BaseException | None) -> bool:
    """Whether there was no connection to send it on."""
    while error is not None:
        if isinstance(error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError):
            return True
        error = error.__cause__
    return False


def _refused(error: Exception, status: int | None, message: str) -> Refused:
    """With the class that ccxt would raise, unless that would say that nobody knows what was done."""
    for words, code in WORDS.items():
        if words in str(error):
            return Refused(code, message)  # the code says more than the class
    if isinstance(error, ccxt.DDoSProtection) and status not in {None, *THROTTLED_STATUSES}:
        # So ccxt takes a key that is suddenly refused: a protection against too many requests.
        key = {"exception": "AuthenticationError"} if status in KEY_STATUSES else None
        return Refused("exchange_error", message, key)
    code = next((CODES[kind] for kind in type(error).__mro__ if kind in CODES), "exchange_error")
    return Refused(code, message, {"exception": type(error).__name__} if isinstance(error, ANSWERS) else None)


def describe(error: Exception) -> str:
    """What a person can act on: the exchange's own words where it used any; without what a URL was signed with."""
    text = QUERY.sub(r"\1", str(error))
    start = text.find("{")
    if start >= 0:
        try:
            said = json.loads(text[start:])
        except ValueError:
            said = {}
        words = [said.get(name) for name in ("msg", "message", "retMsg", "error")] if isinstance(said, dict) else []
        text = next((word for word in words if isinstance(word, str) and word), text)
    text = " ".join(text.split())[:TEXT_CHARS_MAX]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
