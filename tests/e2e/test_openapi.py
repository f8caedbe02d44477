"""The OpenAPI document against the gateway that serves it: whatever fits the document, or nearly does, is answered as
the document says, and nothing makes the server fail.

Made-up requests meet refusals mostly, so there are two more kinds: right ones, which show that each operation and each
command can succeed, and made-up ones that name what is there.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any, Final

import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.core import NOT_SET
from schemathesis.core.failures import FailureGroup
from schemathesis.core.result import Ok
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import positive_data_acceptance

from oms.commands import COMMANDS
from tests.e2e.ordering import POLL_S, RESTING, WAIT_S, Ordering
from tests.leaks import VENUE_SECRET

EXAMPLES: Final = settings(
    max_examples=25,  # a resource
    deadline=None,
    derandomize=True,
    database=None,
    report_multiple_bugs=False,
    suppress_health_check=[*HealthCheck],
)
# What fits the document may still break a rule between its fields, or of the market: 422 as well.
EXCLUDED: Final[list[Any]] = [positive_data_acceptance]
# Of these a trader's key can only show that they are an admin's.
ADMINS: Final = "/oms/(accounts|trading)"
# What changes something that is there. First what acts on it, then what may keep others from acting.
CHANGES: Final = ("POST /oms/commands", "POST /oms/reassign", "POST /oms/strategies",
                  "PATCH /oms/strategies", "PATCH /oms/risk/{account_id}", "PATCH /oms/accounts")  # fmt: skip
HEDGED: Final = 3  # the account that is made here, where a symbol has as many positions as are opened


class Attack:
    """Requests to each resource: `wrong` is what was not answered as documented."""

    def __init__(self, url: str, key: str) -> None:
        self.schema = schemathesis.openapi.from_url(f"{url}/openapi.json")
        self.schema.config.generation.update(modes=[GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
        self.wrong: list[str] = []
        self.statuses: dict[str, set[int]] = {}
        self.done: set[str] = set()  # commands that went well
        self.key = key
        self._operations: dict[str, Any] = {}
        for result in self.schema.get_all_operations():
            assert isinstance(result, Ok), result
            self._operations[result.ok().label] = result.ok()

    def run(self, key: str, path_regex: str) -> None:
        """Made-up requests, good and bad, to all resources with such a path, with this API key."""
        for result in self.schema.include(path_regex=path_regex).get_all_operations():
            assert isinstance(result, Ok), result
            self._try(result.ok(), result.ok().as_strategy(), key)

    def ask(self, label: str, body: Any = NOT_SET, query: dict[str, Any] | None = None, **path: Any) -> Any:
        """The answer to a right request, which has to be a good one."""
        media_type = None if body is NOT_SET else "application/json"
        case = self._operations[label].Case(body=body, query=query, path_parameters=path, media_type=media_type)
        response = self._call(case, self.key)
        assert response.status_code < 300, (label, body, response.text)
        return response.json()

    def command(self, name: str, **payload: Any) -> dict[str, Any]:
        """What became of a right command."""
        body = {"account_id": HEDGED, "command": name, "payload": payload}
        (result,) = self.ask("POST /oms/commands", body)["results"]
        self.done.add(name)
        return dict(result)

    def aim(self, label: str, known: dict[str, Any]) -> None:
        """Made-up requests that fit the document, with what is there in place of made-up names and numbers."""
        strategy = self._operations[label].as_strategy(generation_mode=GenerationMode.POSITIVE)

        def aimed(case: schemathesis.Case[Any]) -> schemathesis.Case[Any]:
            case.body = named(case.body, known)
            case.path_parameters = named(case.path_parameters, known)
            return case

        self._try(self._operations[label], strategy.map(aimed), self.key)

    def _call(self, case: schemathesis.Case[Any], key: str) -> Any:
        response = case.call(headers={"x-api-key": key}, timeout=30)
        self.statuses.setdefault(case.operation.label, set()).add(response.status_code)
        case.validate_response(response, excluded_checks=EXCLUDED)
        return response

    def _try(self, operation: Any, strategy: Any, key: str) -> None:
        self.statuses.setdefault(operation.label, set())

        @EXAMPLES
        @given(case=strategy)
        def holds(case: schemathesis.Case[Any]) -> None:
            self._call(case, key)

        try:
            holds()
        except FailureGroup as group:
            self.wrong += [f"{operation.label}: {error}" for error in group.exceptions]


def named(value: Any, known: dict[str, Any]) -> Any:
    """The same with what is known in place of made-up values, wherever its name is."""
    if isinstance(value, list):
        return [named(item, known) for item in value]
    if not isinstance(value, dict):
        return value
    return {name: known[name] if name in known else named(item, known) for name, item in value.items()}


def succeed(attack: Attack) -> dict[str, Any]:
    """Each operation that changes something, and each command, with success; returns what there is afterwards."""
    command = attack.command
    attack.ask("PUT /oms/trading", {"trading_state": "active"})
    strategy = attack.ask("POST /oms/strategies", {"account_id": HEDGED, "name": "made"})["id"]
    attack.ask("PATCH /oms/strategies", {"id": strategy, "name": "maker"})
    attack.ask("PATCH /oms/risk/{account_id}", {"max_open_orders": 1_000}, account_id=HEDGED)
    attack.ask("PATCH /oms/accounts", {"id": HEDGED, "name": "hedged anew"})
    first, second, third, fourth = (
        command("send_order", symbol="BTC/USDT", side=side, order_type="market", qty="0.3")["order_id"]
        for side in ("buy", "buy", "sell", "buy")
    )
    held = {row["order_id"]: row["position_id"] for row in deals(attack, first, second, third, fourth)}
    command("position_change", position_id=held[first], stop_loss="1000")
    command("merge_positions", source_position_id=held[second], target_position_id=held[first])
    command("close_by", position_id_a=held[first], position_id_b=held[third])
    command("close_position", position_id=held[first])
    kept = command("send_order", **RESTING)["order_id"]
    command("change_order", order_id=kept, new_price="50001")
    attack.ask("POST /oms/reassign", {"account_id": HEDGED, "strategy_id": strategy, "order_ids": [kept]})
    command("cancel_order", order_id=command("send_order", **RESTING)["order_id"])
    command("send_order", **RESTING)
    command("cancel_all_orders", symbol="BTC/USDT", strategy_ids=[0])
    command("cancel_all_after", timeout_ms=60_000)
    attack.ask("POST /oms/reconcile", {"account_id": HEDGED})
    alert = {"account_id": HEDGED, "symbol": "BTC/USDT", "type": "above", "price": "1"}
    number = attack.ask("POST /api/alerts", alert)["id"]
    attack.ask("POST /api/alerts/{alert_id}/rearm", alert_id=number)
    attack.ask("DELETE /api/alerts/{alert_id}", alert_id=number)
    attack.ask("POST /api/signals", {"signal_type": "BUY", "symbol": "BTC/USDT", "price": 1.5})
    attack.ask("POST /api/news", {"headline": "Bitcoin surges", "symbols": ["BTC/USDT"]})
    attack.ask("POST /ccxt/{account_id}/{func}", {"args": ["BTC/USDT"]}, account_id=HEDGED, func="fetch_ticker")
    attack.ask("POST /ccxt/core/{account_id}/{func}", {"symbol": "BTC/USDT"}, account_id=HEDGED, func="fetch_ticker")
    return {
        "account_id": HEDGED, "symbol": "BTC/USDT", "qty": "0.01", "price": "50000", "strategy_id": strategy,
        "strategy_ids": [strategy], "order_id": kept, "order_ids": [kept], "position_id": held[fourth],
        "position_id_a": held[fourth], "position_ids": [held[fourth]], "new_price": "50002", "params": {},
    }  # fmt: skip


def deals(attack: Attack, *order_ids: int) -> list[dict[str, Any]]:
    """What these orders were filled by, once all are: they were sent at the market."""
    give_up = time.monotonic() + WAIT_S
    ids = ",".join(map(str, order_ids))
    while any(row["state"] != "FILLED" for row in attack.ask("GET /oms/orders/{ids}", ids=ids)["items"]):
        assert time.monotonic() < give_up
        time.sleep(POLL_S)  # over HTTP nothing wakes us
    found = attack.ask("GET /oms/deals", query={"account_ids": str(HEDGED), "page_size": 500})["items"]
    return [row for row in found if row["order_id"] in order_ids]


async def make_hedged(gateway: Ordering, attack: Attack) -> None:
    """Another account, at the exchange and with us, once it is traded on."""
    opens = {"apiKey": "hedged-at-the-venue", "secret": f"{VENUE_SECRET}-hedged"}
    funds = {"USDT": "1000000", "BTC": "10"}
    await gateway.exchange.post("account", name="hedged", api_key=opens["apiKey"], secret=opens["secret"], funds=funds)
    body = {"name": "hedged", "exchange": "sim", "position_mode": "hedge", "credentials": opens}
    made = await asyncio.to_thread(attack.ask, "POST /oms/accounts", body)
    assert made["id"] == HEDGED

    async def look() -> list[Any]:
        return list((await gateway.ask("root", "GET", "/oms/readiness"))[1]["items"])

    await gateway.until(lambda rows: len(rows) == HEDGED and all(row["ready"] for row in rows), look)


async def test_every_resource_answers_as_the_document_says(gateway_with_orders: Ordering) -> None:
    gateway = gateway_with_orders
    attack = await asyncio.to_thread(Attack, f"http://127.0.0.1:{gateway.app.port}", gateway.keys["root"])
    await make_hedged(gateway, attack)
    await asyncio.to_thread(attack.run, gateway.keys["ann"], rf"^(?!{ADMINS})")
    await asyncio.to_thread(attack.run, gateway.keys["root"], f"^{ADMINS}")
    known = await asyncio.to_thread(succeed, attack)
    for label in CHANGES:
        number = known["strategy_id"] if label == "PATCH /oms/strategies" else HEDGED
        await asyncio.to_thread(attack.aim, label, {**known, "id": number})
    assert attack.wrong == []
    assert len(attack.statuses) >= 31
    never = {label for label, statuses in attack.statuses.items() if not any(status < 300 for status in statuses)}
    assert never == set()
    assert attack.done == set(COMMANDS)
