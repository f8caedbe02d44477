"""Commands over HTTP: the body goes to the desk with all its digits, and the answers' status says how it went."""

from __future__ import annotations

from decimal import Decimal

import pytest

from oms import render
from oms.desk.results import CommandResult
from oms.errors import OmsError
from oms.journal import open_journal
from oms.signing import Signed
from oms.writes import Writes
from tests.oms import full_rows
from tests.oms.resources.served import Served

DONE = CommandResult(ok=True, command_id=1, order_id=10)
RUNNING = CommandResult(ok=False, command_id=2, running=True)


def refused(code: str) -> CommandResult:
    return CommandResult.of_refusal(OmsError(code, "no"))


async def test_the_body_reaches_the_desk_digit_by_digit_with_its_idempotency_key(served: Served) -> None:
    served.service.results = [DONE]
    response = await served.send(
        "ann", "POST", "/oms/commands", b'{"qty": 0.1000000000000000055511151}', **{"idempotency-key": "k1"}
    )
    assert response.status_code == 200
    assert response.json() == {"results": [{"index": 0, "ok": True, "command_id": 1, "order_id": 10, "error": None}]}
    assert served.service.asked == [("execute", "ann", {"qty": Decimal("0.1000000000000000055511151")}, "k1")]


@pytest.mark.parametrize(
    ("results", "status"),
    [
        ([DONE, DONE], 200),
        ([DONE, RUNNING], 202),
        ([DONE, refused("risk_blocked")], 207),
        ([refused("order_not_found"), refused("risk_blocked")], 404),
        ([refused("rate_limited")], 429),
        ([refused("outcome_unknown")], 502),
    ],
)
async def test_the_status_of_a_body_says_whether_all_some_or_none_was_done(
    served: Served, results: list[CommandResult], status: int
) -> None:
    served.service.results = results
    response = await served.send("ann", "POST", "/oms/commands", [{}] * len(results))
    assert response.status_code == status
    assert [result["index"] for result in response.json()["results"]] == list(range(len(results)))


async def test_a_signature_is_of_the_idempotency_key_and_the_body_as_they_came(served: Served) -> None:
    headers = {"x-tickwire-signature": "s", "x-tickwire-timestamp": "5", "x-tickwire-nonce": "n"}
    for more in ({}, {"idempotency-key": "k1"}):
        await served.send("ann", "POST", "/oms/commands", b'{ "qty":0.10 }', **headers, **more)
    await served.send("ann", "POST", "/oms/commands", b"{}")
    assert served.service.signatures == [
        Signed("s", 5, "n", b'\n{ "qty":0.10 }'), Signed("s", 5, "n", b'k1\n{ "qty":0.10 }'), None,
    ]  # fmt: skip


@pytest.mark.parametrize("missing", ["signature", "timestamp", "nonce"])
async def test_half_a_signature_is_none(served: Served, missing: str) -> None:
    headers = {"x-tickwire-signature": "s", "x-tickwire-timestamp": "5", "x-tickwire-nonce": "n"}
    del headers[f"x-tickwire-{missing}"]
    response = await served.send("ann", "POST", "/oms/commands", b"{}", **headers)
    assert (response.status_code, response.json()["code"]) == (422, "validation_error")
    assert served.service.asked == []


@pytest.mark.parametrize("body", [b"", b"{", b'{"a":NaN}', b"\xff", b"[" * 3000])
async def test_a_body_that_is_no_json_is_refused_before_the_desk(served: Served, body: bytes) -> None:
    response = await served.send("ann", "POST", "/oms/commands", body)
    assert response.status_code == 422
    assert response.json()["code"] == "validation_error"
    assert served.service.asked == []


async def test_a_database_that_is_gone_is_said_with_when_to_come_again(served: Served) -> None:
    served.service.refusal = OmsError("engine_unavailable", "the order database is away", retry_after_ms=1_500)
    response = await served.send("ann", "POST", "/oms/commands", {})
    assert response.status_code == 503
    assert response.headers["retry-after"] == "2"
    assert response.json()["retry_after_ms"] == 1_500


async def test_a_stranger_commands_nothing(served: Served) -> None:
    response = await served.client.post("/oms/commands", json={})
    assert response.status_code == 401
    assert served.service.asked == []


async def test_orders_are_shown_to_who_prefers_that_and_may_see_them(dsn: str, served: Served) -> None:
    mine, theirs = full_rows.order(1, 1, strategy_id=7), full_rows.order(2, 2, strategy_id=7)
    fill = full_rows.deal(1, 1, strategy_id=7)
    journal = await open_journal(dsn, on_committed=lambda _: None, on_lost=lambda _: None)
    await journal.append(Writes(orders={1: mine, 2: theirs}, deals={1: fill}))
    await journal.close()
    done = [CommandResult(ok=True, order_id=number) for number in (1, 2, 99)]
    served.service.results = [*done, refused("risk_blocked")]
    for prefer in ('respond-async, return="representation"', "return=representation; x=1", "Return=Representation"):
        response = await served.send("ann", "POST", "/oms/commands", [], prefer=prefer)
        shown, *others = response.json()["results"]
        assert (shown["order"], shown["deals"]) == (render.order_data(mine), [render.deal_data(fill)])
        assert [sorted(other) for other in others] == [["command_id", "error", "index", "ok", "order_id"]] * 3
    for prefer in ("return=minimal", "return=representationx", "other"):
        response = await served.send("ann", "POST", "/oms/commands", [], prefer=prefer)
        assert "order" not in response.json()["results"][0]


async def test_what_was_done_is_answered_when_it_cannot_be_shown(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: object) -> None:
        raise ConnectionRefusedError("gone")

    monkeypatch.setattr("oms.store.history.orders_by_ids", away)
    served.service.results = [DONE]
    response = await served.send("ann", "POST", "/oms/commands", {}, prefer="return=representation")
    assert response.status_code == 200
    assert response.json()["results"] == [{"index": 0, "ok": True, "command_id": 1, "order_id": 10, "error": None}]
