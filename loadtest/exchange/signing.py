"""Who signed a request: API key, HMAC-SHA256 signature, timestamp and receive window, as Binance checks them.

Pure functions over what was sent; the caller says what time it is. Knows no order.
"""

import hashlib
import hmac
from collections.abc import Mapping

from loadtest.exchange.accounts import Account, Accounts
from loadtest.exchange.params import BinanceError, integer, missing

WINDOW_MS = 5_000
WINDOW_MS_MAX = 60_000
AHEAD_MS_MAX = 1_000
_SIGNATURE = "signature="


def signed_text(query: str, body: str) -> str:
    """What the signature of a REST request is made over: query and body as sent, without the signature."""
    return "".join(
        "&".join(part for part in text.split("&") if not part.startswith(_SIGNATURE)) for text in (query, body)
    )


def signed_params(params: Mapping[str, object]) -> str:
    """The same of a WebSocket request: its parameters by name."""
    return "&".join(f"{name}={params[name]}" for name in sorted(params) if name != "signature")


def sign(secret: str, text: str) -> str:
    return hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest()


def authenticate(accounts: Accounts, api_key: str | None, text: str, query: Mapping[str, str], now_ms: int) -> Account:
    """The account that signed `text`; `query` has what the request says of itself."""
    if not api_key:
        raise BinanceError(-2014, "API-key format invalid.", status=401)
    account = accounts.of_key(api_key)
    if account is None:
        raise BinanceError(-2015, "Invalid API-key, IP, or permissions for action.", status=401)
    signature = query.get("signature")
    if not signature:
        raise missing("signature")
    timestamp_ms = integer(query, "timestamp")
    if timestamp_ms is None:
        raise missing("timestamp")
    window_ms = integer(query, "recvWindow")
    window_ms = WINDOW_MS if window_ms is None else window_ms
    if window_ms > WINDOW_MS_MAX:
        raise BinanceError(-1131, f"recvWindow must be less than {WINDOW_MS_MAX}.")
    if not hmac.compare_digest(sign(account.secret, text).encode(), signature.encode()):
        raise BinanceError(-1022, "Signature for this request is not valid.")
    if timestamp_ms >= now_ms + AHEAD_MS_MAX:
        raise BinanceError(-1021, f"Timestamp for this request was {AHEAD_MS_MAX}ms ahead of the server's time.")
    if now_ms - timestamp_ms > window_ms:
        raise BinanceError(-1021, "Timestamp for this request is outside of the recvWindow.")
    return account
