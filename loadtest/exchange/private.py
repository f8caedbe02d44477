"""The signed endpoints over HTTP: who asks, what goes into the ledger, and the bytes of the answer.

Reads and writes HTTP; what a request does is in `signed`.
"""

from collections.abc import Awaitable, Callable
from urllib.parse import parse_qsl

import orjson
from aiohttp import web

from loadtest.exchange.accounts import Accounts
from loadtest.exchange.feed import Feed
from loadtest.exchange.ledger import Ledger, Received
from loadtest.exchange.params import BinanceError
from loadtest.exchange.rest import JSON_TYPE
from loadtest.exchange.signed import COMMANDS, Act, Signed
from loadtest.exchange.signing import authenticate, signed_text

PREFIX = "/api/v3"
KEY_HEADER = "X-MBX-APIKEY"
Handler = Callable[[web.Request], Awaitable[web.Response]]


class Private:
    def __init__(self, feed: Feed, accounts: Accounts, signed: Signed, ledger: Ledger) -> None:
        self._feed = feed
        self._accounts = accounts
        self._signed = signed
        self._ledger = ledger

    def routes(self) -> list[web.RouteDef]:
        return [
            web.route(method, f"{PREFIX}/{path}", self._handler(method, path, act))
            for (method, path), act in self._signed.acts.items()
        ]

    def _handler(self, method: str, path: str, act: Act) -> Handler:
        async def handle(request: web.Request) -> web.Response:
            sent_query, sent_body = request.raw_path.partition("?")[2], await request.text()
            query = dict(parse_qsl(sent_body, keep_blank_values=True))
            query.update(parse_qsl(sent_query, keep_blank_values=True))
            api_key = request.headers.get(KEY_HEADER)
            received = self._receive(method, path, api_key, query) if (method, path) in COMMANDS else None
            try:
                now_ms = self._feed.trading_ms()
                text = signed_text(sent_query, sent_body)
                account = authenticate(self._accounts, api_key, text, query, now_ms)
                answer = act(account, query, now_ms)
                status, body = 200, orjson.dumps(answer)
            except BinanceError as error:
                status, body = error.status, error.body()
                _note(received, outcome=str(error.code))
            else:
                _note(received, outcome="accepted", answer=answer)
            if received is not None:
                received.answer = str(status)
            return web.Response(status=status, body=body, content_type=JSON_TYPE)

        return handle

    def _receive(self, method: str, path: str, api_key: str | None, query: dict[str, str]) -> Received:
        account = self._accounts.of_key(api_key or "")
        kept = {name: value for name, value in query.items() if name != "signature"}
        name = account.name if account is not None else ""
        return self._ledger.receive(self._feed.trading_ms(), name, method, f"{PREFIX}/{path}", kept)


def _note(received: Received | None, outcome: str, answer: object = None) -> None:
    if received is None:
        return
    received.outcome = outcome
    if isinstance(answer, dict):
        order = answer.get("newOrderResponse", answer)
        received.order_id = order["orderId"]
