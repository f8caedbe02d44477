"""The signed endpoints over HTTP: who asks, what goes into the ledger, and the bytes of the answer.

Reads and writes HTTP; what a request does is in `signed`.
"""

import asyncio
from collections.abc import Awaitable, Callable
from urllib.parse import parse_qsl

import orjson
from aiohttp import web

from loadtest.exchange import known
from loadtest.exchange.accounts import Accounts
from loadtest.exchange.faults import failure
from loadtest.exchange.feed import Feed
from loadtest.exchange.ledger import Ledger, Received
from loadtest.exchange.params import BinanceError
from loadtest.exchange.request_faults import UNKNOWN_OUTCOME, RequestFaults
from loadtest.exchange.rest import JSON_TYPE
from loadtest.exchange.signed import COMMANDS, Act, Signed
from loadtest.exchange.signing import authenticate, signed_text

PREFIX = "/api/v3"
KEY_HEADER = "X-MBX-APIKEY"
Handler = Callable[[web.Request], Awaitable[web.Response]]


class Sent:
    """A request as it came: its key, and its parameters in the query and in the body."""

    def __init__(self, api_key: str | None, query: str, body: str) -> None:
        self.api_key = api_key
        self.query = query
        self.body = body
        self.parameters = dict(parse_qsl(body, keep_blank_values=True))
        self.parameters.update(parse_qsl(query, keep_blank_values=True))


class Private:
    def __init__(self, feed: Feed, accounts: Accounts, signed: Signed, ledger: Ledger, faults: RequestFaults) -> None:
        self._feed = feed
        self._accounts = accounts
        self._signed = signed
        self._ledger = ledger
        self._faults = faults

    def routes(self) -> list[web.RouteDef]:
        return [
            web.route(method, f"{PREFIX}/{path}", self._handler(method, path, act))
            for (method, path), act in self._signed.acts.items()
        ]

    def _handler(self, method: str, path: str, act: Act) -> Handler:
        async def handle(request: web.Request) -> web.Response:
            sent = Sent(
                request.headers.get(KEY_HEADER),
                request.raw_path.partition("?")[2],
                (await request.read()).decode(errors="replace"),
            )
            received = self._receive(method, path, sent) if (method, path) in COMMANDS else None
            trouble = self._faults.take((method, path))
            if trouble.carried_out_after_s:
                await asyncio.sleep(trouble.carried_out_after_s)
            answer = web.Response()
            if trouble.is_carried_out:
                does = self._signed.pretend_cancel if trouble.is_pretended else act
                answer = self._carry_out((method, path), does, sent, received, trouble.refusal)
            if trouble.answered_after_s:
                await asyncio.sleep(trouble.answered_after_s)
            if trouble.failure_status is not None:
                answer = _failure(trouble.failure_status, trouble.failure_code)
            if received is not None:
                received.answer = str(answer.status) if trouble.is_answered else "lost"
            if not trouble.is_answered and request.transport is not None:
                request.transport.abort()
            return answer

        return handle

    def _carry_out(
        self,
        kind: tuple[str, str],
        act: Act,
        sent: Sent,
        received: Received | None,
        refusal: BinanceError | None,
    ) -> web.Response:
        try:
            now_ms = self._feed.trading_ms()
            text = signed_text(sent.query, sent.body)
            account = authenticate(self._accounts, sent.api_key, text, sent.parameters, now_ms)
            known.check(*kind, sent.parameters)
            if refusal is not None:
                raise refusal
            answer = act(account, sent.parameters, now_ms)
        except BinanceError as error:
            _note(received, outcome=str(error.code))
            return _answer(error.status, error.body())
        _note(received, outcome="accepted", answer=answer)
        return _answer(200, orjson.dumps(answer))

    def _receive(self, method: str, path: str, sent: Sent) -> Received:
        account = self._accounts.of_key(sent.api_key or "")
        kept = {name: value for name, value in sent.parameters.items() if name != "signature"}
        name = account.name if account is not None else ""
        return self._ledger.receive(self._feed.trading_ms(), name, method, f"{PREFIX}/{path}", kept)


def _answer(status: int, body: bytes) -> web.Response:
    return web.Response(status=status, body=body, content_type=JSON_TYPE)


def _failure(status: int, code: int | None) -> web.Response:
    return failure(status) if code is None else _answer(status, BinanceError(code, UNKNOWN_OUTCOME).body())


def _note(received: Received | None, outcome: str, answer: object = None) -> None:
    if received is None:
        return
    received.outcome = outcome
    if isinstance(answer, dict):
        order = answer.get("newOrderResponse", answer)
        received.order_id = order["orderId"]
