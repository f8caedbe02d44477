"""How the gateway is asked: resources that are read, commands that are sent once, functions of the exchange behind.

Holds retries, request ids, and what is done where a resource is missing. Must not know a unified method or structure.
"""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Final

from ccxt.base.errors import ArgumentsRequired, BadResponse, BaseError, NetworkError

from driver.errors import of_result, refusal_of
from driver.plan import Ask, Host, Pause, Plan
from driver.retries import Policy
from driver.sending import DOUBTFUL, Sending

COMMAND_TIMEOUT_MS: Final = 30_000  # how long a command may take with all its retries
COMMAND_TRIES: Final = 10  # some seconds: a gateway that is started anew meanwhile has the answer
STILL_RUNNING_MS: Final = 50  # before it is asked again what became of a command
PREFER: Final = "return=representation"  # an answer to a command is to show the orders it is about


def new_request_id() -> str:
    return f"drv-{uuid.uuid4().hex}"


def elapsed_ms(since: float) -> float:
    return (time.monotonic() - since) * 1000


class Asking(Host):
    """See the module."""

    def traded_account(self) -> int:
        """The number of the account of the gateway that this client trades on. Raises ArgumentsRequired."""
        given = self.options.get("account_id") or self.accountId or ""
        if not re.fullmatch(r"[0-9]{1,18}", str(given)):
            what = f", which is no {given!r}" if given else ""
            raise ArgumentsRequired(f"{self.id} requires options['account_id']: the number of the account{what}")
        return int(str(given))

    def read(self, path: str, query: Mapping[str, Any] | None = None) -> Plan[Any]:
        """GET, tried again as `options['retries']` says."""
        given = {name: value for name, value in (query or {}).items() if value is not None}
        return (yield from self._tried(Ask(path, "GET", given)))

    def pass_through(
        self,
        function: str,
        arguments: Sequence[Any] = (),
        params: Mapping[str, Any] | None = None,
        *,
        api: str = "private",
        repeatable: bool = True,
    ) -> Plan[Any]:
        """What the exchange behind answers to a method of ccxt. Only what is `repeatable` is ever asked twice."""
        ask = self._function(function, arguments, params, api)
        answer = yield from self._tried(ask) if repeatable else self._once(ask)
        return self._result(answer)

    def pass_command_through(
        self, function: str, arguments: Sequence[Any], params: Mapping[str, Any], names: Sequence[str] = ()
    ) -> Plan[Any]:
        """The same for what becomes a command, with a request_id in `params`: sent again with that, and done once.

        `names` are clientOrderIds. Raises what it was refused with, and RequestTimeout when that is not known.
        """
        began, sending = time.monotonic(), self._sending(names)
        ask = self._function(function, arguments, params, "private")
        return self._result((yield from self._sent(ask, sending, began)))

    def pass_through_core(self, function: str, kwargs: Mapping[str, Any]) -> Plan[Any]:
        """The same for what is read of the account itself, with its arguments by name."""
        path = f"ccxt/core/{self.traded_account()}/{function}"
        answer = yield from self._tried(Ask(path, "POST", dict(kwargs)))
        return self._result(answer)

    def commands(self, bodies: Sequence[Mapping[str, Any]]) -> Plan[list[dict[str, Any]]]:
        """What became of each of these, which have a request_id each: they can be sent again, and are done once.

        Raises what refused the request that they were in, and RequestTimeout when it is not known what became of them.
        """
        began, sending = time.monotonic(), self._sending(client_order_ids(bodies))
        ask = Ask("oms/commands", "POST", dict(bodies[0]) if len(bodies) == 1 else [dict(body) for body in bodies])
        while True:
            try:
                answer = yield from self._sent(ask, sending, began)
            except BaseError as error:
                said = refusal_of(error)
                answer = {"results": list(said.results)} if said is not None and said.results else None
                if answer is None:
                    raise
            results = answer.get("results") if isinstance(answer, dict) else None
            if not isinstance(results, list) or len(results) != len(bodies):
                raise sending.unknown("answered with something else than results")
            if not any(result.get("running") for result in results):
                return results
            sending.is_in_doubt = True
            if elapsed_ms(began) > self._command_timeout_ms():
                raise sending.unknown("still under way", results[0].get("order_id"))
            yield Pause(STILL_RUNNING_MS)

    def command(self, name: str, payload: Mapping[str, Any], request_id: str | None = None) -> Plan[dict[str, Any]]:
        """What became of one command. Raises what it was refused with."""
        body = self.command_body(name, payload, request_id)
        (result,) = yield from self.commands([body])
        if result["error"]:
            raise self.refusal(body, result)
        return result

    def refusal(self, body: Mapping[str, Any], result: Mapping[str, Any]) -> BaseError:
        """Of a command whose result has an error; RequestTimeout when that does not say whether it was done."""
        if result["error"]["code"] not in DOUBTFUL:
            return of_result(result)
        said = refusal_of(of_result(result))
        why = said.message if said is not None else ""
        return self._sending(client_order_ids([body])).unknown(why, result.get("order_id"))

    def command_body(self, name: str, payload: Mapping[str, Any], request_id: str | None = None) -> dict[str, Any]:
        return {
            "account_id": self.traded_account(),
            "command": name,
            "request_id": request_id or new_request_id(),
            "payload": dict(payload),
        }

    def _function(self, function: str, arguments: Sequence[Any], params: Mapping[str, Any] | None, api: str) -> Ask:
        kwargs = {"params": dict(params)} if params else {}
        path = f"ccxt/{self.traded_account()}/{function}"
        return Ask(path, "POST", {"args": list(arguments), "kwargs": kwargs}, api)

    def _command_timeout_ms(self) -> float:
        return float(self.options.get("command_timeout_ms", COMMAND_TIMEOUT_MS))

    def _sending(self, names: Sequence[str]) -> Sending:
        return Sending(Policy.of_options(self.options, self._command_timeout_ms(), COMMAND_TRIES), names)

    def _sent(self, ask: Ask, sending: Sending, began: float) -> Plan[Any]:
        while True:
            try:
                return (yield ask)
            except BaseError as error:
                delay_ms = sending.delay_after(error, elapsed_ms(began))
            yield Pause(delay_ms)

    def _tried(self, ask: Ask) -> Plan[Any]:
        policy = Policy.of_options(self.options, float(self.timeout))
        began, number = time.monotonic(), 0
        while True:
            number += 1
            try:
                return (yield ask)
            except NetworkError as error:
                delay_ms = policy.delay_before(number, error, elapsed_ms(began))
                if delay_ms is None:
                    raise
            yield Pause(delay_ms)

    def _once(self, ask: Ask) -> Plan[Any]:
        return (yield ask)

    def _result(self, answer: object) -> Any:
        if not isinstance(answer, dict) or "result" not in answer:
            raise BadResponse(f"{self.id} answered without a result: {str(answer)[:200]}")
        return answer["result"]


def client_order_ids(bodies: Sequence[Mapping[str, Any]]) -> list[str]:
    """By which the orders of these commands can be found."""
    return [str(body["payload"]["client_order_id"]) for body in bodies if "client_order_id" in body["payload"]]
