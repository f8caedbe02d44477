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


@dataclass(frozen=True, kw_only=True)
class VenueConfig:
    """`options` are ccxt's constructor options, verbatim; credentials in them are not used. May raise OmsError."""

    klass: str  # ccxt's id: "binance"
    environment: Environment
    credentials: Mapping[str, str] = field(repr=False)
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)  # proxies may hold a password
    timeout_ms: int = 10_000  # of one request
    ping_ms: int = 10_000  # the private stream is asked for a sign of life this often; it has as long to give one

    def __post_init__(self) -> None:
        if unknown := set(self.credentials) - CREDENTIALS:
            raise OmsError("validation_error", f"credentials: ccxt knows no {', '.join(sorted(unknown))}")
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
