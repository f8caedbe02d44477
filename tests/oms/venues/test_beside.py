"""Functions of ccxt called for others, at the simulated exchange: one client for all, bounded, and no secret told."""

from __future__ import annotations

import asyncio
import inspect
import json
import math
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from decimal import Decimal
from typing import Any

import ccxt.async_support
import pytest

from loadtest.exchange.server import ExchangeServer
from oms.errors import OmsError
from oms.passing.calls import FUNCTIONS, Access, Answerer
from oms.venues import beside, client
from oms.venues.beside import Beside, encode, plain
from oms.venues.config import PassingLimits
from tests.oms.venues.tools import BTC, CREDENTIALS, Between, config


@asynccontextmanager
async def asking(base_url: str, **limits: Any) -> AsyncIterator[Beside]:
    made = Beside(config(base_url, passing=PassingLimits(**limits)))
    try:
        yield made
    finally:
        await made.close()


async def ask(made: Beside, func: str, *args: Any, public: bool = True, **kwargs: Any) -> Any:
    arguments = dict(zip(("symbol", *(["params"] if args[1:] else [])), args, strict=False)) | kwargs
    return json.loads(await made.call(func, arguments, public=public))


async def refusal(made: Beside, func: str, *args: Any, public: bool = True, **kwargs: Any) -> tuple[str, str]:
    with pytest.raises(OmsError) as refused:
        await ask(made, func, *args, public=public, **kwargs)
    error = refused.value
    assert not leaks(f"{error.message} {error.details} {error.__cause__!r} {error.__context__!r}"), error
    assert error.details is not None
    return error.code, error.details["exception"]


def leaks(text: str) -> bool:
    return "signature=" in text or any(secret in text for secret in CREDENTIALS.values())


async def test_many_callers_share_one_client_that_loads_markets_once(between: Between) -> None:
    async with asking(between.base_url) as made:
        tickers = await asyncio.gather(*(ask(made, "fetch_ticker", BTC) for _ in range(12)))
        balances = await asyncio.gather(*(ask(made, "fetch_balance", public=False) for _ in range(3)))
        markets = await ask(made, "load_markets", reload=True)
    assert [ticker["symbol"] for ticker in tickers] == [BTC] * 12
    assert len(balances) == 3
    assert BTC in markets
    assert between.received["GET", "exchangeInfo"] == 1
    assert between.received["GET", "24hr"] == 12


async def test_nothing_waits_while_markets_are_loaded(
    exchange: ExchangeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[int] = []
    make = client.make

    def noted(*asked: Any) -> Any:
        threads.append(threading.get_ident())
        return make(*asked)

    monkeypatch.setattr(client, "make", noted)
    async with asking(exchange.base_url) as made:
        await ask(made, "load_markets")
    assert threads[0] != threading.get_ident(), "it is read in a thread"


async def test_an_end_breaks_off_a_loading(between: Between, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = threading.Event()

    async def hang(_: Any, *__: Any) -> Any:
        begun.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(client.VenueMixin, "fetch", hang)
    async with asking(between.base_url) as made:
        waiting = asyncio.create_task(refusal(made, "load_markets"))
        await asyncio.to_thread(begun.wait)
    assert await waiting == ("exchange_unavailable", "ExchangeNotAvailable")


async def test_whoever_goes_away_does_not_break_off_the_loading_for_others(between: Between) -> None:
    async with asking(between.base_url) as made:
        first = asyncio.create_task(ask(made, "fetch_markets"))
        second = asyncio.create_task(ask(made, "fetch_ticker", BTC))
        await asyncio.sleep(0)
        first.cancel()
        assert (await second)["symbol"] == BTC
    assert between.received["GET", "exchangeInfo"] == 1


async def test_what_is_public_is_asked_without_credentials(exchange: ExchangeServer) -> None:
    async with asking(exchange.base_url) as made:
        assert await refusal(made, "fetch_balance") == ("exchange_error", "AuthenticationError")
        assert (await ask(made, "fetch_balance", public=False))["info"]["accountType"] == "SPOT"


async def test_numbers_are_as_ccxt_gives_them(exchange: ExchangeServer) -> None:
    async with asking(exchange.base_url) as made:
        ticker = await ask(made, "fetch_ticker", BTC)
        balance = await ask(made, "fetch_balance", public=False)
    assert isinstance(ticker["bid"], float)
    assert isinstance(balance["total"]["USDT"], float)


async def test_refusals_of_ccxt_and_of_the_exchange_have_the_class_that_ccxt_gives_them(between: Between) -> None:
    async with asking(between.base_url) as made:
        assert await refusal(made, "fetch_ticker", "NO/SUCH") == ("unknown_symbol", "BadSymbol")
        assert await refusal(made, "fetch_tickers", symbols=["NO/SUCH"]) == ("unknown_symbol", "BadSymbol")
        assert await refusal(made, "fetch_ohlcv", BTC, timeframe="7m") == ("validation_error", "BadRequest")
        assert await refusal(made, "fetch_l9_order_book", BTC) == ("unsupported_action", "NotSupported")
        assert await refusal(made, "fetch_open_interest", BTC) == ("unsupported_action", "NotSupported")
        assert await ask(made, "fetch_ticker", "BTCUSDT"), "by the exchange's own name"


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (429, {"code": -1003, "msg": "Too many requests."}, ("rate_limited", "DDoSProtection")),
        (503, {"msg": "busy"}, ("exchange_unavailable", "ExchangeNotAvailable")),
        (
            400,
            {"code": -1022, "msg": "Signature is not valid."},
            ("exchange_error", "AuthenticationError"),
        ),
        (400, {"code": -1121, "msg": "Invalid symbol."}, ("unknown_symbol", "BadSymbol")),
    ],
)
async def test_what_the_exchange_refuses(
    exchange: ExchangeServer,
    monkeypatch: pytest.MonkeyPatch,
    status: int,
    body: dict[str, Any],
    expected: tuple[str, str],
) -> None:
    async with asking(exchange.base_url) as made:
        await ask(made, "fetch_balance", public=False)
        private = made._private.exchange

        async def fetch(url: str, method: str = "GET", headers: Any = None, _: Any = None) -> Any:
            assert leaks(url), "the request is signed, so what is said of it could tell"
            text = json.dumps(body)
            private.on_rest_response(status, "", url, method, {}, text, headers, None)
            private.handle_errors(status, "", url, method, {}, text, body, headers, None)
            raise ccxt.async_support.ExchangeNotAvailable(f"binance {method} {url} {status} {text}")

        monkeypatch.setattr(private, "fetch", fetch)
        assert await refusal(made, "fetch_balance", public=False) == expected


async def test_an_exchange_that_hangs_is_given_up(exchange: ExchangeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    async with asking(exchange.base_url) as made:
        hanging = asyncio.Event()
        await made._load(wanted=False)
        made._config = replace(made._config, passing=PassingLimits(timeout_s=0.3))
        monkeypatch.setattr(made._public.exchange, "fetch", lambda *_: hanging.wait())
        assert await refusal(made, "fetch_ticker", BTC) == ("exchange_unavailable", "RequestTimeout")


async def test_calls_that_run_and_wait_are_bounded(exchange: ExchangeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    async with asking(exchange.base_url, running_max=2, waiting_max=3) as made:
        await made._load(wanted=False)
        gate, running, most = asyncio.Event(), 0, 0

        async def fetch_time(_: object = None) -> int:
            nonlocal running, most
            running += 1
            most = max(most, running)
            await gate.wait()
            running -= 1
            return 1

        monkeypatch.setattr(made._public.exchange, "fetch_time", fetch_time)
        waiting = [asyncio.create_task(ask(made, "fetch_time")) for _ in range(5)]
        for _ in range(10):
            await asyncio.sleep(0)
        assert await refusal(made, "fetch_time") == ("rate_limited", "RateLimitExceeded")
        assert await ask(made, "fetch_balance", public=False), "private calls have turns of their own"
        gate.set()
        assert await asyncio.gather(*waiting) == [1] * 5
        assert most == 2


async def test_an_answer_is_bounded(exchange: ExchangeServer) -> None:
    async with asking(exchange.base_url, result_bytes_max=100) as made:
        assert await refusal(made, "load_markets") == ("validation_error", "BadRequest")


async def test_a_fault_of_ccxt_is_one_of_the_exchange(
    exchange: ExchangeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with asking(exchange.base_url) as made:

        async def fetch_time(_: object = None) -> int:
            raise KeyError(CREDENTIALS["secret"])

        monkeypatch.setattr(made._public.exchange, "fetch_time", fetch_time)
        assert await refusal(made, "fetch_time") == ("exchange_error", "ExchangeError")


async def test_markets_that_cannot_be_loaded_anew_are_still_there(
    between: Between, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with asking(between.base_url) as made:
        await ask(made, "load_markets")
        monkeypatch.setattr(beside, "RELOAD_S", 0.0)
        await ask(made, "load_markets", reload=True)
        assert between.received["GET", "exchangeInfo"] == 2
        monkeypatch.setattr(beside, "FRESH_S", 0.0)
        monkeypatch.setattr(beside._Loading, "run", _lost)
        assert BTC in await ask(made, "load_markets")
        assert await refusal(made, "load_markets", reload=True) == ("exchange_unavailable", "NetworkError")


def _lost(_: object) -> Any:
    raise ccxt.async_support.NetworkError("no")


async def test_after_its_end_nothing_is_asked(exchange: ExchangeServer) -> None:
    async with asking(exchange.base_url) as made:
        await ask(made, "fetch_ticker", BTC)
    assert await refusal(made, "fetch_ticker", BTC) == ("exchange_unavailable", "ExchangeNotAvailable")


async def test_a_description_names_no_address(exchange: ExchangeServer) -> None:
    async with asking(exchange.base_url) as made:
        told = await ask(made, "describe")
    assert set(told) == set(beside.DESCRIBED)
    assert "http" not in json.dumps(told)
    assert (told["id"], told["has"]["fetchTicker"]) == ("binance", True)


def test_answers_are_json_whatever_they_hold() -> None:
    value = {"nan": math.nan, "inf": math.inf, "exact": Decimal("0.10"), "raw": b"\x00\xff", "many": {1}}
    assert json.loads(encode(value)) == {"nan": None, "inf": None, "exact": 0.1, "raw": "AP8=", "many": [1]}
    assert json.loads(encode({None: 2**70, "x": object})) == {"None": str(2**70), "x": str(object)}


def test_a_credential_in_an_answer_is_masked() -> None:
    answer = {"info": [{"apiKey": "abcdefghij", "url": "https://x/?k=abcdefghij&y"}], "uid": "77", "id": "1775"}
    assert plain(answer, ["abcdefghij", "77"]) == {
        "info": [{"apiKey": "***", "url": "https://x/?k=***&y"}], "uid": "***", "id": "1775",
    }  # fmt: skip


@pytest.mark.parametrize("name", [name for name, each in FUNCTIONS.items() if each.answerer is Answerer.EXCHANGE])
def test_functions_have_the_parameters_that_ccxt_has(name: str) -> None:
    if name == "describe":
        return
    method = getattr(ccxt.async_support.Exchange, name, None) or getattr(ccxt.async_support.binance, name)
    theirs = list(inspect.signature(method).parameters)[1:]
    ours = [parameter.name for parameter in FUNCTIONS[name].parameters]
    assert ours == theirs
    assert FUNCTIONS[name].access in ({Access.SET} if name.startswith("set_") else {Access.PUBLIC, Access.READ})
