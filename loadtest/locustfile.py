"""Users for locust: people's programs that stream market data, and operators who read the status pages.

Holds what such users do and what is counted as a failure: a hole nobody announced, a refusal, a lost connection.
An outsider: it speaks the wire. Latency is from `t_out` (frame built) to received, on one machine's clock.
"""

from __future__ import annotations

import json
import random
import time
from typing import Any

from locust import HttpUser, User, between, constant, task
from websockets.sync.client import ClientConnection, connect

CHANNELS = ("quotes", "trades", "book", "bars")
MESSAGES_A_VISIT = 200  # then the user reconnects, as programs do
RECEIVE_TIMEOUT_S = 10.0


class StreamUser(User):
    """Connects, subscribes to one symbol of some channel, checks every number, and starts again."""

    wait_time = between(0.1, 1.0)
    weight = 20

    @task
    def stream(self) -> None:
        assert self.host is not None, "--host names the gateway"
        url = self.host.replace("http", "ws", 1) + "/v1/stream"
        channel = random.choice(CHANNELS)  # noqa: S311  # a choice of load, not a secret
        began = time.perf_counter()
        try:
            with connect(url, open_timeout=RECEIVE_TIMEOUT_S) as socket:
                self.note("connect", url, began)
                self.subscribe(socket, channel)
                self.read(socket, channel)
        except Exception as error:
            self.note("stream", channel, began, error=error)

    def subscribe(self, socket: ClientConnection, channel: str) -> None:
        began = time.perf_counter()
        symbol = random.choice(("BTC/USDT", "ETH/USDT"))  # noqa: S311
        options = {"timeframe": "1s"} if channel == "bars" else {}
        request = {"action": "subscribe", "id": 1, "channel": channel, "symbols": [symbol], **options}
        socket.send(json.dumps(request))
        while (message := self.receive(socket))["type"] != "subscribed":
            if message["type"] == "error":
                raise RuntimeError(message["message"])
        if message["data"]["errors"]:
            raise RuntimeError(f"refused: {message['data']['errors']}")
        self.note("subscribe", channel, began)

    def read(self, socket: ClientConnection, channel: str) -> None:
        """Until so many messages have come, or the market is quiet for a while."""
        epoch, number, until = "", None, time.monotonic() + RECEIVE_TIMEOUT_S
        for _ in range(MESSAGES_A_VISIT):
            if time.monotonic() > until:
                return
            try:
                message = self.receive(socket)
            except TimeoutError:
                return
            if message["type"] == "gap":
                epoch, number = message.get("new_epoch", message["epoch"]), message["to"]
                number = 0 if "new_epoch" in message else number
            elif "sequence" in message:
                position = message["epoch"], message["sequence"]
                repeats = message["kind"] == "snapshot" and position == (epoch, number)
                if number is not None and not repeats and position != (epoch, number + 1):
                    raise RuntimeError(f"{channel}: {position} after {(epoch, number)}, and nobody said so")
                epoch, number = position
                latency_ms = (time.time_ns() - message["t_out"]) / 1e6
                self.environment.events.request.fire(
                    request_type="update", name=channel, response_time=latency_ms, response_length=0, exception=None
                )

    def receive(self, socket: ClientConnection) -> dict[str, Any]:
        message: dict[str, Any] = json.loads(socket.recv(timeout=RECEIVE_TIMEOUT_S))
        return message

    def note(self, kind: str, name: str, began: float, error: Exception | None = None) -> None:
        self.environment.events.request.fire(
            request_type=kind,
            name=name,
            response_time=(time.perf_counter() - began) * 1e3,
            response_length=0,
            exception=error,
        )


class Operator(HttpUser):
    """Watches the pages that monitoring reads."""

    wait_time = constant(1)
    weight = 1

    @task(3)
    def status(self) -> None:
        self.client.get("/api/ws/status")

    @task
    def metrics(self) -> None:
        self.client.get("/metrics")

    @task
    def health(self) -> None:
        self.client.get("/readyz")
