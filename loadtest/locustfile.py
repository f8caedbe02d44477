"""Users for locust: people's programs that stream market data and trade, programs that ask by REST, and operators.

Holds what such users do and what is counted as a failure: a hole nobody announced, a refusal, a lost connection. What
comes over a WebSocket is in locust's statistics by kind: `update` from `t_out` (frame built) to received, on one
machine's clock, and `replay` likewise, which is how long one was away; everything else from when it was asked. Who
trades needs `--key`; without it only the others are there. An outsider: it speaks the wire.
"""

from __future__ import annotations

import datetime as dt
import json
import random
import time
from itertools import count, cycle
from typing import Any
from uuid import uuid4

from locust import HttpUser, LoadTestShape, between, constant, constant_pacing, events, task
from websockets.sync.client import ClientConnection, connect

from loadtest import hooks, swarm
from loadtest.observing import Observing
from loadtest.shapes import SHAPES, users_at
from loadtest.streams import RefusedError, Streams

CHANNELS = ("quotes", "trades", "book", "bars")
MESSAGES_A_VISIT = 200  # then the user reconnects, as programs do
ORDERS_A_VISIT = 3
RECEIVE_TIMEOUT_S = 10.0
READY_TRIES = 30  # an exchange that has just been connected takes no orders yet
NEVER_FILLED = {"symbol": "BTC/USDT", "side": "buy", "order_type": "limit", "qty": "0.01", "price": "1000"}
CHANGED_PRICE = "1001"
PING_EVERY_S = 5.0
TRADE_EVERY_S = 1.0  # as often as an account is read for those who observe it
TRADED = {"symbol": "BTC/USDT", "order_type": "market", "qty": "0.01"}
SHOWN_MAX = 200  # characters of an answer that was not expected
REPEATS_AFTER_S = 60.0  # a shape, where no --run-time is given


@events.init_command_line_parser.add_listener  # type: ignore[untyped-decorator]  # locust gives it no types
def options(parser: Any) -> None:
    parser.add_argument("--key", default="", env_var="TICKWIRE_LOAD_KEY", is_secret=True, help="an API key that trades")
    parser.add_argument("--account", type=int, default=1, help="the account that the key trades on")
    parser.add_argument("--swarm", type=int, default=0, help="compiled readers beside the users, on each worker")
    parser.add_argument("--swarm-symbols", nargs="+", default=["BTC/USDT"], help="what each of them subscribes to")
    for name, what in swarm.SHARES.items():
        parser.add_argument(f"--swarm-{name}", type=int, default=0, help=f"of the compiled readers, {what}")
    parser.add_argument("--client-json", default="", help="the file that tells whether the users were the bottleneck")
    parser.add_argument("--shape", choices=list(SHAPES), default="steady", help="how many users there are and when")


@events.init.add_listener  # type: ignore[untyped-decorator]  # locust gives it no types
def who_there_is(environment: Any, **_more: object) -> None:
    """Without a key nobody trades; an account is under observation by those alone who do nothing else. What cannot be
    ends locust before anybody is there."""
    asked = environment.parsed_options
    others = {name: getattr(asked, f"swarm_{name}") for name in swarm.SHARES}
    if sum(others.values()) > asked.swarm:
        raise SystemExit(f"--swarm {asked.swarm}: not so many can be {others}")
    environment.user_classes = [
        each
        for each in environment.user_classes
        if issubclass(each, OF_ACCOUNT) == (asked.shape == "account") and (asked.key or not issubclass(each, Trades))
    ]
    if not environment.user_classes:
        raise SystemExit("--shape account: an account is shown to who has a --key")


hooks.join()


class Shape(LoadTestShape):
    """The shape that was asked for, of the users, the rate and the time that were."""

    use_common_options = True

    def tick(self) -> tuple[int, float] | None:
        assert self.runner is not None
        asked: Any = self.runner.environment.parsed_options
        at_s, of_s = time.perf_counter() - self.start_time, float(asked.run_time or REPEATS_AFTER_S)
        if asked.run_time and at_s >= of_s:
            return None  # the run is over
        return users_at(asked.shape, at_s % of_s, of_s, asked.num_users or 1, asked.spawn_rate or 1.0)


class Streaming(HttpUser):
    """What all have who read a WebSocket: one connection at a time, and positions that outlive it."""

    abstract = True

    def on_start(self) -> None:
        self.streams = Streams()
        self.ids = count(1)

    def opened(self, query: str = "") -> ClientConnection:
        assert self.host is not None, "--host names the gateway"
        began = time.perf_counter()
        url = self.host.replace("http", "ws", 1) + "/v1/stream"
        socket = connect(url + query, open_timeout=RECEIVE_TIMEOUT_S, compression=None)
        self.note("connect", "again" if self.streams.positions else "first", began)
        return socket

    def subscribe(self, socket: ClientConnection, channel: str, names: list[str], **options: object) -> None:
        began = time.perf_counter()
        again = any((channel, name) in self.streams.positions for name in names)
        socket.send(json.dumps(self.streams.subscribe(channel, names, **options)))
        while self.received(socket)["type"] != "subscribed":
            pass
        self.note("resume" if again else "subscribe", channel, began)

    def received(self, socket: ClientConnection) -> dict[str, Any]:
        """The next message, held against the position of its stream; what is new is in the statistics."""
        message: dict[str, Any] = json.loads(socket.recv(timeout=RECEIVE_TIMEOUT_S))
        missing = self.streams.count.unannounced
        if self.streams.take(message):
            kind = "replay" if self.streams.is_replay(message) else "update"
            self.event(kind, message["channel"], (time.time_ns() - message["t_out"]) / 1e6)
        if self.streams.count.unannounced > missing:
            raise RefusedError(f"{message['channel']}: numbers before {message['sequence']} are missing, not announced")
        return message

    def note(self, kind: str, name: str, began: float, error: Exception | None = None) -> None:
        self.event(kind, name, (time.perf_counter() - began) * 1e3, error)

    def event(self, kind: str, name: str, ms: float, error: Exception | None = None) -> None:
        self.environment.events.request.fire(
            request_type=kind, name=name, response_time=ms, response_length=0, exception=error
        )


class StreamUser(Streaming):
    """Connects, subscribes to one symbol of some channel, checks every number, and comes back to go on."""

    wait_time = between(0.1, 1.0)
    weight = 20

    def on_start(self) -> None:
        super().on_start()
        self.channel = random.choice(CHANNELS)  # noqa: S311  # a choice of load, not a secret
        self.symbol = random.choice(("BTC/USDT", "ETH/USDT"))  # noqa: S311

    @task
    def stream(self) -> None:
        began = time.perf_counter()
        try:
            with self.opened() as socket:
                options = {"timeframe": "1s"} if self.channel == "bars" else {}
                self.subscribe(socket, self.channel, [self.symbol], **options)
                self.read(socket)
        except Exception as error:
            self.note("stream", self.channel, began, error=error)

    def read(self, socket: ClientConnection) -> None:
        """Until so many messages have come, or the market is quiet for a while."""
        until = time.monotonic() + RECEIVE_TIMEOUT_S
        for _ in range(MESSAGES_A_VISIT):
            if time.monotonic() > until:
                return
            try:
                self.received(socket)
            except TimeoutError:
                return


class Trades(Streaming):
    """Who needs a key."""

    abstract = True

    @property
    def asked(self) -> Any:
        return self.environment.parsed_options

    @property
    def headers(self) -> dict[str, str]:
        return {"x-api-key": self.asked.key}

    def command(self, name: str, payload: dict[str, object]) -> dict[str, object]:
        identity = {"account_id": self.asked.account, "request_id": uuid4().hex}
        return {**identity, "command": name, "payload": payload}

    def commanded(self, name: str, payload: dict[str, object]) -> dict[str, Any] | None:
        """What REST says of a command; None of one that was refused. It is sent again while its exchange is not there
        yet."""
        for remaining in reversed(range(READY_TRIES)):
            body = self.command(name, payload)
            with self.client.post(
                "/oms/commands", json=body, headers=self.headers, catch_response=True, name=f"/oms/commands {name}"
            ) as answer:
                result = first(answer, "results")
                error = (result or {}).get("error")
                if not error:
                    return result
                if error["code"] != "exchange_unavailable" or not remaining:
                    answer.failure(f"refused: {error['code']}: {error['message']}")
                    return None
                answer.success()
            time.sleep(error["retry_after_ms"] / 1e3)
        return None


def first(answer: Any, items: str) -> dict[str, Any] | None:
    """The first of what an answer has; an answer that has none is a failure."""
    try:
        return dict(answer.json()[items][0])
    except (ValueError, LookupError, TypeError):
        answer.failure(f"{answer.status_code} without {items}: {(answer.text or '')[:SHOWN_MAX]}")
    return None


class Trader(Trades):
    """A strategy: a token, quotes and its account's orders, then order, change, cancel, each confirmed; and again."""

    wait_time = between(0.1, 0.5)
    weight = 4

    @task
    def trade(self) -> None:
        began = time.perf_counter()
        try:
            token = self.client.get("/api/ws/token", headers=self.headers).json()["token"]
            with self.opened(f"?token={token}") as socket:
                account = str(self.asked.account)
                self.subscribe(socket, "quotes", ["BTC/USDT"])
                self.subscribe(socket, "orders", [account], snapshot=False)
                for _ in range(ORDERS_A_VISIT):
                    self.order(socket)
                    self.acknowledge(socket, account)
        except Exception as error:
            self.note("trade", "visit", began, error=error)

    def order(self, socket: ClientConnection) -> None:
        """One order's life."""
        order_id = self.done(socket, "send_order", dict(NEVER_FILLED))["order_id"]
        self.done(socket, "change_order", {"order_id": order_id, "new_price": CHANGED_PRICE})
        self.done(socket, "cancel_order", {"order_id": order_id})

    def done(self, socket: ClientConnection, name: str, payload: dict[str, object]) -> dict[str, Any]:
        for _ in range(READY_TRIES):
            began = time.perf_counter()
            result = self.answer(socket, "command", payload=self.command(name, payload))["data"]["results"][0]
            error = result["error"] or {}
            if not error:
                self.note("command", name, began)
                return dict(result)
            if error["code"] != "exchange_unavailable":
                break
            time.sleep(error["retry_after_ms"] / 1e3)
        raise RefusedError(f"{name}: {error['code']}: {error['message']}")

    def acknowledge(self, socket: ClientConnection, account: str) -> None:
        began = time.perf_counter()
        _epoch, sequence = self.streams.positions["orders", account]
        self.answer(socket, "ack", channel="orders", account_id=int(account), sequence=sequence)
        self.note("ack", "orders", began)

    def answer(self, socket: ClientConnection, action: str, **request: object) -> dict[str, Any]:
        """What the gateway says to this request; streams go on meanwhile."""
        number = next(self.ids)
        socket.send(json.dumps({"action": action, "id": number, **request}))
        while (message := self.received(socket)).get("id") != number:
            pass
        return message


class RestTrader(Trades):
    """The same by REST: an order, changed, cancelled, and looked at after either."""

    wait_time = between(0.2, 1.0)
    weight = 2

    @task
    def order(self) -> None:
        sent = self.commanded("send_order", dict(NEVER_FILLED))
        if sent is None:
            return
        order_id = sent["order_id"]
        if self.commanded("change_order", {"order_id": order_id, "new_price": CHANGED_PRICE}):
            self.look(order_id, price=CHANGED_PRICE, status="open")
        if self.commanded("cancel_order", {"order_id": order_id}):
            self.look(order_id, status="canceled")

    def look(self, order_id: int, **told: str) -> None:
        """At the order, which must be what was told of it."""
        url = f"/oms/orders/{order_id}"
        with self.client.get(url, headers=self.headers, name="/oms/orders/ID", catch_response=True) as answer:
            order = first(answer, "items") or told
            if differs := {name: order.get(name) for name, value in told.items() if order.get(name) != value}:
                answer.failure(f"{differs}, and told was {told}")


class Observer(Trades):
    """A page that has the account under observation for as long as it is open, and pings."""

    wait_time = constant(1)

    @task
    def observe(self) -> None:
        assert self.host is not None, "--host names the gateway"
        began = time.perf_counter()
        url = f"{self.host.replace('http', 'ws', 1)}/ws/account/{self.asked.account}"
        try:
            with connect(
                url, additional_headers=self.headers, open_timeout=RECEIVE_TIMEOUT_S, compression=None,
                ping_interval=None,
            ) as socket:  # fmt: skip
                self.note("connect", "account", began)
                self.read(socket)
        except Exception as error:
            self.note("observe", "account", began, error=error)

    def read(self, socket: ClientConnection) -> None:
        observing, pinged, answered = Observing(), time.perf_counter(), True
        while True:
            try:
                message = json.loads(socket.recv(timeout=max(0.0, pinged + PING_EVERY_S - time.perf_counter())))
            except TimeoutError:
                if not answered:
                    raise RefusedError(f"no pong in {PING_EVERY_S:g} s") from None
                pinged, answered = time.perf_counter(), False
                socket.send('{"type":"ping"}')
                continue
            if message["type"] == "error" or observing.take(message):
                raise RefusedError(f"{message['type']}: not what was told before: {message}")
            if message["type"] == "pong":
                answered = True
                self.note("pong", "account", pinged)
            elif message["type"] == "account_update" and not message.get("snapshot"):
                read_s = dt.datetime.fromisoformat(message["timestamp"]).timestamp()
                self.event("update", "account", (time.time() - read_s) * 1e3)


class Dealer(Trades):
    """Buys and sells in turn each second, so that those who observe the account are told of it; there is one."""

    wait_time = constant_pacing(TRADE_EVERY_S)
    fixed_count = 1

    def on_start(self) -> None:
        super().on_start()
        self.sides = cycle(("buy", "sell"))

    @task
    def deal(self) -> None:
        self.commanded("send_order", {**TRADED, "side": next(self.sides)})


OF_ACCOUNT = (Observer, Dealer)


class Operator(HttpUser):
    """Watches the pages that monitoring reads."""

    wait_time = constant(1)
    weight = 1

    def on_start(self) -> None:
        """A page that opens asks for the state of things first."""
        self.status()

    @task(3)
    def status(self) -> None:
        self.client.get("/api/ws/status")

    @task
    def metrics(self) -> None:
        self.client.get("/metrics")

    @task
    def health(self) -> None:
        self.client.get("/readyz")
