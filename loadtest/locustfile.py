"""Users for locust: people's programs that stream market data and trade, programs that ask by REST, and operators.

Holds what such users do and what is counted as a failure: a hole nobody announced, a refusal, a lost connection. What
comes over a WebSocket is in locust's statistics by kind: `update` from `t_out` (frame built) to received, on one
machine's clock; everything else from when it was asked. Who trades needs `--key`; without it only the others are there.
An outsider: it speaks the wire.
"""

from __future__ import annotations

import datetime as dt
import json
import logging
import random
import time
from itertools import count, cycle
from pathlib import Path
from typing import Any
from uuid import uuid4

import gevent  # type: ignore[import-untyped]  # what locust runs on has no types
from locust import HttpUser, LoadTestShape, between, constant, constant_pacing, events, task
from locust.runners import MasterRunner, WorkerRunner
from websockets.sync.client import ClientConnection, connect

from loadtest import bottleneck, pulse, swarm, volume
from loadtest.observing import Observing
from loadtest.shapes import SHAPES, users_at
from loadtest.streams import RefusedError, Streams

CHANNELS = ("quotes", "trades", "book", "bars")
MESSAGES_A_VISIT = 200  # then the user reconnects, as programs do
ORDERS_A_VISIT = 3
RECEIVE_TIMEOUT_S = 10.0
READY_TRIES = 30  # an exchange that has just been connected takes no orders yet
NEVER_FILLED = {"symbol": "BTC/USDT", "side": "buy", "order_type": "limit", "qty": "0.01", "price": "1000"}
PING_EVERY_S = 5.0
TRADE_EVERY_S = 1.0  # as often as an account is read for those who observe it
TRADED = {"symbol": "BTC/USDT", "order_type": "market", "qty": "0.01"}
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


clients: dict[str, pulse.Figures] = {}  # what each process that has users tells of itself; on a master of all workers
swarms: list[volume.Volume] = []


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


@events.test_start.add_listener  # type: ignore[untyped-decorator]  # locust gives it no types
def with_its_swarm(environment: Any, **_more: object) -> None:
    """On whoever runs users: alone, or each worker; a master has none."""
    asked = environment.parsed_options
    swarms.clear()
    if not asked.swarm or isinstance(environment.runner, MasterRunner):
        return
    others = {name: getattr(asked, f"swarm_{name}") for name in swarm.SHARES}
    one = volume.Volume(volume.swarm_of(environment.host, asked.swarm, asked.swarm_symbols, others), environment.stats)
    swarms.append(one)
    running = gevent.spawn(one.run)

    def end(**_more: object) -> None:
        environment.events.test_stop.remove_listener(end)
        one.stop()
        running.join()

    environment.events.test_stop.add_listener(end)


@events.test_start.add_listener  # type: ignore[untyped-decorator]  # locust gives it no types
def with_its_pulse(environment: Any, **_more: object) -> None:
    """Each process measures itself; whoever has no master, or is it, says in the end whether one was the bottleneck."""
    clients.clear()
    if isinstance(environment.runner, MasterRunner):
        return
    entry = environment.stats.get("lag", pulse.KIND)  # of the total it is no part: nothing was asked
    one = pulse.Pulse(gevent.sleep, time.perf_counter, lambda late_ms: entry.log(late_ms, 0))
    running = gevent.spawn(one.run)

    def tell(data: dict[str, Any], **_more: object) -> None:
        data[pulse.KIND] = pulse.worst([one.figures(), *(each.figures() for each in swarms)])

    def end(**_more: object) -> None:
        environment.events.test_stop.remove_listener(end)
        environment.events.report_to_master.remove_listener(tell)
        running.kill()
        if not isinstance(environment.runner, WorkerRunner):
            told: dict[str, Any] = {}
            tell(told)
            of_a_worker("alone", told)

    environment.events.report_to_master.add_listener(tell)
    environment.events.test_stop.add_listener(end)


@events.worker_report.add_listener  # type: ignore[untyped-decorator]  # locust gives it no types
def of_a_worker(client_id: str, data: dict[str, Any], **_more: object) -> None:
    if pulse.KIND in data:
        clients[client_id] = data[pulse.KIND]


@events.init.add_listener  # type: ignore[untyped-decorator]  # locust gives it no types
def whether_it_was_the_bottleneck(environment: Any, **_more: object) -> None:
    """Said once all is over, by whoever has heard of all processes."""
    if isinstance(environment.runner, WorkerRunner):
        return

    def say(**_more: object) -> None:
        figures = pulse.worst(clients.values())
        for said in bottleneck.told(figures):
            logging.getLogger(__name__).warning(said)
        if environment.parsed_options.client_json:
            Path(environment.parsed_options.client_json).write_text(json.dumps(figures), encoding="utf-8")

    environment.events.quit.add_listener(say)


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
            self.event("update", message["channel"], (time.time_ns() - message["t_out"]) / 1e6)
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

    def ordered(self, payload: dict[str, object]) -> dict[str, Any] | None:
        """What REST says of an order; None while its exchange is not there yet, and of one that was refused."""
        body = self.command("send_order", payload)
        with self.client.post("/oms/commands", json=body, headers=self.headers, catch_response=True) as answer:
            result: dict[str, Any] = answer.json()["results"][0]
            code = (result["error"] or {}).get("code")
            if code == "exchange_unavailable":
                answer.success()  # it has just been connected: later again
            elif code:
                answer.failure(f"refused: {code}")
        return None if code else result


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
        self.done(socket, "change_order", {"order_id": order_id, "new_price": "1001"})
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
    """The same by REST: an order that is over at once, and what became of it."""

    wait_time = between(0.2, 1.0)
    weight = 2

    @task
    def order(self) -> None:
        if result := self.ordered({**NEVER_FILLED, "time_in_force": "IOC"}):
            self.client.get(f"/oms/orders/{result['order_id']}", headers=self.headers, name="/oms/orders/ID")


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
        self.ordered({**TRADED, "side": next(self.sides)})


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
