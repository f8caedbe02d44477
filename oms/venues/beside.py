"""Functions of ccxt called for others: by clients of their own beside the one that trades, shared by all who ask.

What is public is asked without the account's credentials, so that whoever may read the market learns nothing of the
account. Answers are finished JSON, with numbers as ccxt gives them, and without anything secret. Must not know which
functions may be called, nor who asks.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any, Final

import msgspec
import structlog
from ccxt.base.errors import BaseError

from oms.errors import OmsError
from oms.venues import client, errors
from oms.venues.base import Refused
from oms.venues.client import SENDING
from oms.venues.config import VenueConfig
from oms.venues.errors import Sending

log = structlog.get_logger(__name__)

RELOAD_S: Final = 60.0  # markets younger than this are not loaded anew, whoever wants it
FRESH_S: Final = 3_600.0  # older ones are, whether anybody wants it or not
RETRY_MS: Final = 1_000
SECRET_CHARS_MIN: Final = 8  # a shorter credential is masked only where it stands alone
DESCRIBED: Final = (
    "id", "name", "countries", "timeframes", "precisionMode", "paddingMode", "fees", "limits", "features", "rateLimit",
    "has",
)  # fmt: skip
_ENCODE: Final = msgspec.json.Encoder(decimal_format="number").encode


class Beside:
    """Of one account. Clients are made when they are first asked for."""

    def __init__(self, config: VenueConfig) -> None:
        self._config = config
        self._public = _Client(config, {})
        self._private = _Client(config, config.credentials)
        self._markets: dict[str, bytes] = {}  # what is answered of them, encoded once for each loading
        self._loaded_s = -math.inf
        self._loading: asyncio.Task[None] | None = None
        self._closed = False

    async def call(self, func: str, arguments: Mapping[str, Any], *, public: bool) -> bytes:
        """The answer, as JSON. `arguments` are in ccxt's order. Raises OmsError."""
        limits = self._config.passing
        asked = self._public if public else self._private
        try:
            async with asyncio.timeout(limits.timeout_s), asked.turn():
                if self._closed:
                    raise _ended()
                encoded = await self._answer(asked, func, arguments)
        except TimeoutError:
            text = f"the exchange gave no answer within {limits.timeout_s:g} s"
            raise _failed("exchange_unavailable", text, "RequestTimeout") from None
        if len(encoded) > limits.result_bytes_max:
            text = f"the answer has {len(encoded)} bytes, at most {limits.result_bytes_max}: ask for less"
            raise _failed("validation_error", text, "BadRequest")
        return encoded

    async def close(self) -> None:
        self._closed = True
        if self._loading is not None:
            self._loading.cancel()
            await asyncio.gather(self._loading, return_exceptions=True)
        await asyncio.gather(self._public.close(), self._private.close())

    async def _answer(self, asked: _Client, func: str, arguments: Mapping[str, Any]) -> bytes:
        if func == "describe":
            return encode(self._description())
        await self._load(wanted=bool(arguments.get("reload")))
        if func in self._markets:
            return self._markets[func]
        self._check(arguments)
        method = getattr(asked.exchange, func, None)
        if method is None:
            raise _failed("unsupported_action", f"ccxt has no {func} here", "NotSupported")
        result = await self._asked(lambda: method(*arguments.values()))
        return encode(result) if asked is self._public else encode(plain(result, self._config.credentials.values()))

    async def _asked(self, call: Callable[[], Awaitable[Any]]) -> Any:
        sending = Sending()
        token = SENDING.set(sending)
        try:
            return await call()
        except Exception as error:
            refusal = self._refusal(error, sending)
        finally:
            SENDING.reset(token)
        # Not chained: ccxt's error holds URLs with their signatures, and headers are not far.
        raise refusal

    def _refusal(self, error: Exception, sending: Sending) -> OmsError:
        """What is said of it, with the name of ccxt's class."""
        text = self._config.scrub(errors.describe(error))
        if isinstance(error, TimeoutError):
            return _failed("exchange_unavailable", "the exchange gave no answer in time", "RequestTimeout")
        if not isinstance(error, BaseError):
            log.warning("ccxt failed", venue=self._config.klass, error=text)
            return _failed("exchange_error", text, "ExchangeError")
        outcome = errors.of_read(error, sending)
        code = outcome.code if isinstance(outcome, Refused) else "exchange_unavailable"
        return _failed(code, text, type(error).__name__)

    # Markets

    async def _load(self, *, wanted: bool) -> None:
        """Load them, or load them anew, once for all who wait: none of these may break it off for the others."""
        age_s = time.monotonic() - self._loaded_s
        if age_s < RELOAD_S or (age_s < FRESH_S and not wanted):
            return
        if self._loading is None or self._loading.done():
            self._loading = asyncio.create_task(self._load_now())
        try:
            await asyncio.shield(self._loading)
        except asyncio.CancelledError:
            if not self._closed:
                raise
            raise _ended() from None
        except OmsError as error:
            if not self._markets or wanted:
                raise
            log.warning("markets could not be loaded anew", venue=self._config.klass, error=error.message)

    async def _load_now(self) -> None:
        """By a client in a thread: reading all markets of an exchange takes seconds, which nothing else has to wait."""
        loading = _Loading(self._config)
        try:
            loaded, told = await self._asked(lambda: asyncio.to_thread(loading.run))
        finally:
            loading.cancel()
        for each in (self._public, self._private):
            each.exchange.set_markets_from_exchange(loaded)
            each.exchange.options["timeDifference"] = loaded.options.get("timeDifference", 0)
        self._markets = told
        self._loaded_s = time.monotonic()

    def _check(self, arguments: Mapping[str, Any]) -> None:
        """Symbols and timeframes that there are. Raises OmsError."""
        exchange = self._public.exchange
        symbol = arguments.get("symbol")
        for each in [*([] if symbol is None else [symbol]), *(arguments.get("symbols") or ())]:
            if each not in exchange.markets and each not in exchange.markets_by_id:
                raise _failed("unknown_symbol", f"{self._config.klass} trades no {each!r}", "BadSymbol")
        timeframe = arguments.get("timeframe")
        if timeframe is not None and exchange.timeframes and timeframe not in exchange.timeframes:
            raise _failed(
                "validation_error", f"timeframe: there is {', '.join(exchange.timeframes)}", "BadRequest", "timeframe"
            )

    def _description(self) -> dict[str, Any]:
        exchange = self._public.exchange
        return {name: getattr(exchange, name, None) for name in DESCRIBED}


class _Client:
    """A client of ccxt, and the turns of those who use it."""

    def __init__(self, config: VenueConfig, credentials: Mapping[str, str]) -> None:
        self._config = config
        self._credentials = credentials
        self._exchange: Any = None
        self._turns = asyncio.Semaphore(config.passing.running_max)
        self._waiting = 0

    @property
    def exchange(self) -> Any:
        if self._exchange is None:
            self._exchange = client.make(self._config, self._credentials, float)
        return self._exchange

    @contextlib.asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """One of those that run at a time. Raises OmsError when too many wait for theirs."""
        limits = self._config.passing
        if self._waiting >= limits.waiting_max:
            text = f"{limits.waiting_max} calls of this account wait for their turn"
            raise _failed("rate_limited", text, "RateLimitExceeded")
        self._waiting += 1
        try:
            await self._turns.acquire()
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._turns.release()

    async def close(self) -> None:
        if self._exchange is not None:
            await self._exchange.close()


class _Loading:
    """A client that loads all markets, in a thread, on a loop of its own."""

    def __init__(self, config: VenueConfig) -> None:
        self._config = config
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[Any] | None = None

    def run(self) -> tuple[Any, dict[str, bytes]]:
        """The client, and what is answered of its markets."""
        return asyncio.run(self._load())

    def cancel(self) -> None:
        """From any thread, also when it has ended."""
        if self._loop is not None and self._task is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: it has ended
                self._loop.call_soon_threadsafe(self._task.cancel)

    async def _load(self) -> tuple[Any, dict[str, bytes]]:
        self._task, self._loop = asyncio.current_task(), asyncio.get_running_loop()
        exchange = client.make(self._config, {}, float)
        try:
            async with asyncio.timeout(self._config.passing.timeout_s):
                await exchange.load_markets()
        finally:
            await exchange.close()
        markets = {symbol: encode(market) for symbol, market in exchange.markets.items()}
        return exchange, {
            "load_markets": b"{%b}" % b",".join(b"%b:%b" % (encode(name), each) for name, each in markets.items()),
            "fetch_markets": b"[%b]" % b",".join(markets.values()),
            "fetch_currencies": encode(exchange.currencies),
        }


def _ended() -> OmsError:
    return _failed("exchange_unavailable", "the exchange is being opened anew", "ExchangeNotAvailable")


def _failed(code: str, message: str, exception: str, field: str | None = None) -> OmsError:
    """`exception`: the class that a program of ccxt would have caught."""
    details = {"exception": exception} if field is None else {"exception": exception, "field": field}
    passing = code in {"rate_limited", "exchange_unavailable"}
    return OmsError(code, message, details=details, retry_after_ms=RETRY_MS if passing else None)


# Answers


def encode(result: object) -> bytes:
    """As JSON: what is no number there is null, decimals are numbers, bytes are base64."""
    try:
        return _ENCODE(result)
    except (TypeError, ValueError, OverflowError):  # keys or integers that JSON has no place for
        return _ENCODE(plain(result, ()))


def plain(value: object, secrets: Iterable[str]) -> Any:
    """The value in what JSON has, with every secret masked in its texts."""
    if isinstance(value, str):
        return masked(value, secrets)
    if isinstance(value, Mapping):
        return {masked(str(key), secrets): plain(item, secrets) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item, secrets) for item in value]
    if isinstance(value, int) and not -(2**63) <= value < 2**64:
        return str(value)
    if value is None or isinstance(value, bool | int | float | Decimal | bytes):
        return value
    return masked(str(value), secrets)


def masked(text: str, secrets: Iterable[str]) -> str:
    for secret in secrets:
        if text == secret or (len(secret) >= SECRET_CHARS_MIN and secret in text):
            text = text.replace(secret, "***")
    return text
