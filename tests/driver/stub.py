"""A gateway of the test: a real HTTP server in a thread that records what it is asked and answers as it is told.

Holds recordings and prepared answers, and the shapes that a gateway answers with. Must not know the driver.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlsplit

KEY = "tw_secret-of-the-test"


class Recorded(NamedTuple):
    """A request as it came."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any

    @property
    def line(self) -> str:
        return f"{self.method} {self.path}"


class Answer(NamedTuple):
    """What is answered: `body` as JSON, or a text as it stands; `cut` bytes of it are never sent."""

    status: int
    body: Any
    cut: int = 0
    location: str | None = None  # of a redirect


class Stub:
    """Answers prepared by `on`, in turn for each route, the last again and again."""

    def __init__(self) -> None:
        self.requests: list[Recorded] = []
        self.port = 0
        self._answers: dict[str, list[Answer | Callable[[Recorded], Any]]] = {}
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def on(self, line: str, *answers: Any) -> None:
        """`GET /path` (or `GET /path/*`) is answered so: a body, an `Answer`, or what a function makes of it."""
        prepared = [each if isinstance(each, Answer) or callable(each) else Answer(200, each) for each in answers]
        self._answers[line] = prepared

    def asked(self, line: str) -> list[Recorded]:
        """The requests of one route."""
        return [request for request in self.requests if _matches(request.line, line)]

    @property
    def lines(self) -> list[str]:
        return [request.line for request in self.requests]

    def answer(self, request: Recorded) -> Answer:
        with self._lock:
            self.requests.append(request)
            for line, answers in self._answers.items():
                if _matches(request.line, line):
                    chosen = answers.pop(0) if len(answers) > 1 else answers[0]
                    break
            else:
                return Answer(404, {"code": "unsupported_action", "message": "no such path"})
        if isinstance(chosen, Answer):
            return chosen
        made = chosen(request)
        return made if isinstance(made, Answer) else Answer(200, made)


def _matches(line: str, pattern: str) -> bool:
    return line.startswith(pattern[:-1]) if pattern.endswith("*") else line == pattern


def _handler(stub: Stub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # head and body are written one after the other

        def _do(self) -> None:
            parts = urlsplit(self.path)
            raw = self.rfile.read(int(self.headers.get("content-length") or 0))
            request = Recorded(
                self.command, parts.path, dict(parse_qsl(parts.query)),
                {name.lower(): value for name, value in self.headers.items()}, json.loads(raw) if raw else None,
            )  # fmt: skip
            answer = stub.answer(request)
            text = answer.body if isinstance(answer.body, str) else json.dumps(answer.body)
            data = text.encode()
            self.send_response(answer.status)
            self.send_header("Content-Type", "application/json")
            if answer.location is not None:
                self.send_header("Location", answer.location)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data[: len(data) - answer.cut])
            if answer.cut:
                self.close_connection = True

        do_GET = do_POST = do_PATCH = do_DELETE = _do  # noqa: N815  # as the base class calls them

        def log_message(self, *_: Any) -> None:
            """Nothing on standard error."""

    return Handler


@contextmanager
def stub_gateway() -> Iterator[Stub]:
    """The server, while this is entered, with the markets that `MARKETS` has."""
    stub = Stub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(stub))
    server.daemon_threads = True
    stub.port = server.server_address[1]
    stub.on("POST /ccxt/1/describe", {"result": DESCRIPTION})
    stub.on("POST /ccxt/1/fetch_markets", {"result": MARKETS})
    stub.on("POST /ccxt/1/fetch_currencies", {"result": {"BTC": currency("BTC"), "USDT": currency("USDT")}})
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield stub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


# What a gateway answers with


def currency(code: str) -> dict[str, Any]:
    return {"id": code, "code": code, "precision": 1e-8, "info": {}, "networks": {}, "limits": {}}


def market(symbol: str, **changes: Any) -> dict[str, Any]:
    base, _, rest = symbol.partition("/")
    quote, _, settle = rest.partition(":")
    linear = True if settle else None
    return {
        "id": symbol.replace("/", "").replace(":", "-"), "symbol": symbol, "base": base, "quote": quote,
        "baseId": base, "quoteId": quote, "settle": settle or None, "settleId": settle or None,
        "type": "swap" if settle else "spot", "spot": not settle, "margin": False, "swap": bool(settle),
        "future": False, "option": False, "active": True, "contract": bool(settle), "linear": linear,
        "inverse": None if linear is None else not linear, "taker": 0.001, "maker": 0.001,
        "contractSize": 1.0 if settle else None, "expiry": None, "expiryDatetime": None, "strike": None,
        "optionType": None, "precision": {"amount": 1e-5, "price": 0.01},
        "limits": {"amount": {"min": 1e-5, "max": 9000.0}, "price": {"min": 0.01, "max": 1e6},
                   "cost": {"min": 5.0, "max": None}, "leverage": {"min": None, "max": None}},
        "created": None, "info": {}, **changes,
    }  # fmt: skip


MARKETS: list[dict[str, Any]] = [market("BTC/USDT"), market("ETH/USDT"), market("BTC/USDT:USDT")]
DESCRIPTION: dict[str, Any] = {
    "id": "binance", "name": "Binance", "countries": ["JP"],
    "has": {"fetchTicker": True, "fetchTickers": True, "fetchOHLCV": True, "fetchOrderBook": True, "fetchTrades": True,
            "fetchCurrencies": True, "fetchBalance": True, "createOrder": True, "withdraw": True, "watchTicker": True,
            "fetchStatus": True, "fetchL3OrderBook": False, "createOrderWs": True, "swap": None, "spot": True,
            "fetchLedger": "emulated", "createTakeProfitOrder": True},
    "timeframes": {"1m": "1m", "1h": "1h"}, "precisionMode": 4, "paddingMode": 5,
    "fees": {"trading": {"tierBased": True, "percentage": True, "taker": 0.001, "maker": 0.0009}},
    "limits": {"leverage": {"min": 1, "max": 20}}, "features": {"spot": {"fetchOHLCV": {"limit": 1000}}},
    "rateLimit": 50,
}  # fmt: skip


def order(number: int = 10, **changes: Any) -> dict[str, Any]:
    """An order as the gateway tells it: open, nothing filled."""
    return {
        "id": number, "account_id": 1, "symbol": "BTC/USDT", "side": "buy", "order_type": "limit", "qty": "0.01",
        "client_order_id": f"mine-{number}", "price": "50000", "trigger_price": None, "time_in_force": "GTC",
        "expires_at": None, "post_only": False, "reduce_only": False, "stop_loss": None, "stop_gain": None,
        "strategy_id": 0, "position_id": 0, "reason": "", "comment": "", "params": {}, "state": "SUBMITTED",
        "status": "open", "exchange_order_id": f"9{number}", "filled": "0", "remaining": "0.01",
        "average_price": None, "replaces": 0, "error_code": None, "error_message": None, "flags": [],
        "exchange_time": "2026-02-07T14:30:00.500Z", "created_at": f"2026-02-07T14:30:{number % 60:02d}.123Z",
        "updated_at": "2026-02-07T14:31:00.456Z", "closed_at": None, "version": 2, **changes,
    }  # fmt: skip


def filled(number: int = 10, **changes: Any) -> dict[str, Any]:
    return order(number, **{
        "state": "FILLED", "status": "closed", "filled": "0.01", "remaining": "0", "average_price": "49999.5",
        "closed_at": "2026-02-07T14:31:00.456Z", **changes,
    })  # fmt: skip


def deal(number: int = 1, order_id: int = 10, **changes: Any) -> dict[str, Any]:
    return {
        "id": number, "account_id": 1, "order_id": order_id, "position_id": 3, "symbol": "BTC/USDT", "side": "buy",
        "qty": "0.005", "price": "49999.5", "exchange_trade_id": f"t{number}", "fee": "0.000005",
        "fee_currency": "BTC", "more_fees": {}, "realized_pnl": "0", "strategy_id": 0, "maker": False, "reason": "",
        "executed_at": f"2026-02-07T14:30:{30 + number % 30:02d}.250Z", "created_at": "2026-02-07T14:30:40.000Z",
        **changes,
    }  # fmt: skip


def position(number: int = 3, **changes: Any) -> dict[str, Any]:
    return {
        "id": number, "account_id": 1, "symbol": "BTC/USDT:USDT", "strategy_id": 0, "qty": "0.5",
        "side": "long", "entry_price": "50000", "realized_pnl": "1.5", "fees": {"USDT": "0.1"}, "inverse": False,
        "contract_size": "1", "stop_loss": "45000", "stop_gain": None, "comment": "", "reason": "", "state": "open",
        "net_key": "1:BTC/USDT:USDT", "opened_at": "2026-02-07T14:00:00.000Z",
        "updated_at": "2026-02-07T14:10:00.000Z", "closed_at": None, "version": 1, **changes,
    }  # fmt: skip


def page(*items: dict[str, Any]) -> dict[str, Any]:
    return {"items": list(items), "next_after_id": None}


def items(*rows: dict[str, Any], missing: tuple[int, ...] = ()) -> dict[str, Any]:
    return {"items": list(rows), "missing": list(missing)}


def result(index: int = 0, **changes: Any) -> dict[str, Any]:
    return {"index": index, "ok": True, "command_id": 1, "order_id": 10, "error": None, **changes}


def results(*each: dict[str, Any]) -> dict[str, Any]:
    return {"results": list(each)}


def refused(code: str, status: int, **more: Any) -> Answer:
    """A refusal of a whole request."""
    return Answer(status, {"code": code, "message": f"about {code}", "request_id": "r1", **more})
