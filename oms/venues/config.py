"""What is needed to trade on one account: which ccxt class, where, and as whom.

Holds values and their rules. Must not import ccxt, nor know where credentials are kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from oms.errors import OmsError
from oms.model import Environment

# ccxt's names of what an exchange may ask for.
CREDENTIALS: Final = frozenset(
    {"apiKey", "secret", "uid", "accountId", "login", "password", "twofa", "privateKey", "walletAddress", "token"}
)
# Of every request, and ours to say: when it is too late, and that it is not tried again.
NO_PARAMS: Final = frozenset(
    {"recvWindow", "maxRetriesOnFailure", "maxRetriesOnFailureDelay", "timestamp", "signature"}
)


@dataclass(frozen=True, kw_only=True)
class PassingLimits:
    """Of what is asked of the exchange for others. Each counts for public and for private functions apart."""

    running_max: int = 8  # at a time
    waiting_max: int = 64  # for their turn
    guests_running_max: int = 4  # of an account, of those without a key: half of what runs at a time for all
    guests_waiting_max: int = 28
    timeout_s: float = 20.0  # of one call, with its waiting
    result_bytes_max: int = 67_108_864  # of one answer: all markets of a large exchange are 30 MB


@dataclass(frozen=True, kw_only=True)
class VenueConfig:
    """`options` are ccxt's constructor options, verbatim; credentials in them are not used. May raise OmsError."""

    klass: str  # ccxt's id: "binance"
    environment: Environment
    credentials: Mapping[str, str] = field(repr=False)
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)  # proxies may hold a password
    order_params: frozenset[str] = frozenset()  # names that `params` of an order may have, beside those known here
    currency: str = "USDT"  # of which the balance of who watches is told
    timeout_ms: int = 10_000  # of one request
    ping_ms: int = 10_000  # the private stream is asked for a sign of life this often; it has as long to give one
    passing: PassingLimits = PassingLimits()

    def __post_init__(self) -> None:
        if unknown := set(self.credentials) - CREDENTIALS:
            raise OmsError("validation_error", f"credentials: ccxt knows no {', '.join(sorted(unknown))}")
        if ours := self.order_params & NO_PARAMS:
            raise OmsError("validation_error", f"order_params: {', '.join(sorted(ours))} cannot be given")
        if self.environment is Environment.SIMULATED and not self.urls:
            text = "a simulated account needs the URLs of the simulated exchange (options: urls.api)"
            raise OmsError("validation_error", text)

    @property
    def urls(self) -> Mapping[str, Any]:
        """Where to, when that is not where ccxt says."""
        api: Mapping[str, Any] = (self.options.get("urls") or {}).get("api") or {}
        return api

    def scrub(self, text: str) -> str:
        """The text without anything that is secret here."""
        for secret in self.credentials.values():
            if len(secret) > 3:
                text = text.replace(secret, "***")
        return text
