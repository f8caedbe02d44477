"""The user data stream: every account's events, to the WebSocket API connections that subscribed to them.

An account's events are a stream named `user@<account>`, so that the faults of streams act on it too.
"""

from collections.abc import Callable
from typing import Any

import orjson

from loadtest.exchange.accounts import Account, Accounts
from loadtest.exchange.feed import Feed
from loadtest.exchange.params import BinanceError
from loadtest.exchange.reports import Report
from loadtest.exchange.signing import authenticate, signed_params
from loadtest.exchange.streams import Connection, Streams

PREFIX = "user@"
# A connection has one subscription, so it is always the first.
SUBSCRIPTION_ID = 0


def stream_name(account: Account) -> str:
    return PREFIX + account.name


class UserData:
    def __init__(self, streams: Streams, accounts: Accounts, feed: Feed) -> None:
        self._streams = streams
        self._accounts = accounts
        self._feed = feed
        self._methods: dict[str, Callable[[Connection, dict[str, Any]], object]] = {
            "userDataStream.subscribe.signature": self._subscribe,
            "userDataStream.unsubscribe": self._unsubscribe,
            "ping": lambda _connection, _params: {},
            "time": lambda _connection, _params: {"serverTime": feed.trading_ms()},
        }

    def emit(self, account: Account, report: Report) -> None:
        """Send an event to whoever listens for the account."""
        topic = self._streams.topic(stream_name(account))
        if topic.connections:
            topic.publish(orjson.dumps({"subscriptionId": SUBSCRIPTION_ID, "event": report}))

    def reply(self, connection: Connection, text: str) -> bytes:
        """Carry out one request of the WebSocket API; the answer, as Binance words it."""
        request_id: object = None
        try:
            try:
                request = orjson.loads(text)
            except orjson.JSONDecodeError:
                raise BinanceError(-1135, "Invalid JSON Request") from None
            request_id = request.get("id") if isinstance(request, dict) else None
            params = request.get("params", {}) if isinstance(request, dict) else None
            if not isinstance(params, dict):
                raise BinanceError(-1135, "Invalid JSON Request")
            method = self._methods.get(str(request.get("method")))
            if method is None:
                raise BinanceError(-1099, "Not found, authenticated, or authorized.")
            answer: dict[str, object] = {"status": 200, "result": method(connection, params)}
        except BinanceError as error:
            answer = {"status": error.status, "error": {"code": error.code, "msg": str(error)}}
        return orjson.dumps({"id": request_id, **answer, "rateLimits": []})

    def _subscribe(self, connection: Connection, params: dict[str, Any]) -> object:
        query = {name: str(value) for name, value in params.items()}
        text = signed_params(query)
        account = authenticate(self._accounts, query.get("apiKey"), text, query, self._feed.trading_ms())
        if any(name.startswith(PREFIX) for name in connection.topics):
            raise BinanceError(-2035, "User Data Stream subscription already active.")
        self._streams.attach(connection, stream_name(account))
        return {"subscriptionId": SUBSCRIPTION_ID}

    def _unsubscribe(self, connection: Connection, _: dict[str, Any]) -> object:
        for name in list(connection.topics):
            self._streams.unsubscribe(connection, name)
        return {}
