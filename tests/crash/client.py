"""A client of the gateway that may be cut off at any moment: it keeps what it asked for and what it was told.

Holds how a command is asked for, over HTTP or a WebSocket. Must not know why a gateway is gone.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any, NamedTuple

import aiohttp

from tests.waiting import LOOK_EVERY_S

# Refused without being kept: it is as if it had never been asked for.
PASSING = frozenset({"exchange_unavailable", "engine_unavailable", "rate_limited", "not_authenticated"})
GONE = (aiohttp.ClientError, ConnectionError, TimeoutError)
ANSWER_S = 8.0
ASK_AGAIN_S = 0.05


class Asked(NamedTuple):
    """A command, and every final answer to it so far: they must be the same."""

    body: dict[str, Any]
    answers: list[dict[str, Any]]

    @property
    def order_id(self) -> int | None:
        return next((each["order_id"] for each in self.answers if each["order_id"]), None)


class Client:
    """Of one account. `url` is that of the gateway that lives now."""

    def __init__(self, http: aiohttp.ClientSession, key: str, account_id: int) -> None:
        self.url = ""
        self.asked: list[Asked] = []
        self._http = http
        self._headers = {"x-api-key": key}
        self._account_id = account_id

    def command(self, command: str, **payload: Any) -> Asked:
        """A new command, not yet sent."""
        body = {
            "account_id": self._account_id,
            "command": command,
            "request_id": f"r{len(self.asked) + 1}",
            "payload": payload,
        }
        self.asked.append(Asked(body, []))
        return self.asked[-1]

    def orders_sent(self) -> list[int]:
        """Those that are not known to be canceled."""
        sent = [each.order_id for each in self.asked if each.body["command"] == "send_order"]
        done = {each.order_id for each in self.asked if each.body["command"] == "cancel_order" and each.answers}
        return [order_id for order_id in sent if order_id is not None and order_id not in done]

    async def ask(self, asked: Asked, *, socket: bool = False) -> dict[str, Any] | None:
        """The answer; None when there was none, or it says that there is none yet."""
        try:
            async with asyncio.timeout(ANSWER_S):
                answer = await (self._over_socket if socket else self._over_http)(asked.body)
        except GONE:
            return None
        if answer is None or answer.get("running") or _is_passing(answer):
            return None
        asked.answers.append(answer)
        return answer

    async def ask_until_told(self, asked: Asked, *, socket: bool, timeout_s: float) -> None:
        """The same again and again, until it is answered for good."""
        async with asyncio.timeout(timeout_s):
            while await self.ask(asked, socket=socket) is None:  # noqa: ASYNC110  # it is another process that answers
                await asyncio.sleep(ASK_AGAIN_S)

    async def is_ready(self) -> bool:
        """Whether the account takes commands."""
        body = {"account_id": self._account_id, "command": "cancel_all_orders", "validate": True, "payload": {}}
        try:
            async with asyncio.timeout(ANSWER_S):
                answer = await self._over_http(body)
        except GONE:
            return False
        return answer is not None and bool(answer["ok"])

    async def until_ready(self, timeout_s: float) -> None:
        async with asyncio.timeout(timeout_s):
            while not await self.is_ready():  # noqa: ASYNC110  # no event crosses processes
                await asyncio.sleep(10 * LOOK_EVERY_S)

    async def reconcile(self) -> dict[str, Any] | None:
        """The report of a run that began now; None when there is none."""
        body = {"account_id": self._account_id}
        try:
            async with self._http.post(f"{self.url}/oms/reconcile", json=body, headers=self._headers) as answer:
                told = await answer.json()
                return dict(told["report"]) if answer.status == 200 else None
        except GONE:
            return None

    async def _over_http(self, body: dict[str, Any]) -> dict[str, Any] | None:
        async with self._http.post(f"{self.url}/oms/commands", json=body, headers=self._headers) as answer:
            told = await answer.json()
        return dict(told["results"][0]) if "results" in told else None

    async def _over_socket(self, body: dict[str, Any]) -> dict[str, Any] | None:
        async with self._http.ws_connect(f"{self.url}/v1/stream", headers=self._headers) as socket:
            await socket.send_json({"action": "command", "id": "c", "payload": body})
            async for message in socket:
                told = json.loads(message.data)
                if told["type"] == "command_result":
                    return dict(told["data"]["results"][0])
                if told["type"] == "error":
                    return None
        return None


def contradictions(asked: Asked) -> list[str]:
    """A command has one outcome, however often and of whomever it is asked."""
    told = {(each["ok"], each["command_id"], each["order_id"]) for each in asked.answers}
    return [f"{asked.body['request_id']} was answered in different ways: {sorted(told, key=str)}"] * (len(told) > 1)


def _is_passing(answer: dict[str, Any]) -> bool:
    return answer["error"] is not None and answer["error"]["code"] in PASSING
