"""Calls that create, change, cancel or close, carried out as commands of the OMS and answered as ccxt would.

Must not know what a command does, nor who may have it done: the desk says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from oms.errors import OmsError
from oms.model import Instrument, Order, Position, Principal
from oms.passing import calls, commands, structures
from oms.passing.arguments import bad
from oms.passing.calls import Call
from oms.passing.records import Records, id_of, may_close
from oms.passing.structures import Structure

if TYPE_CHECKING:
    from oms.desk.results import CommandResult
    from oms.service import Oms

DOUBTFUL: Final = frozenset({"internal_error", "outcome_unknown", "engine_unavailable"})  # refuse nothing
SIDES: Final = {"buy": "long", "sell": "short"}


class Ordering:
    """Of all accounts."""

    def __init__(self, oms: Oms, records: Records) -> None:
        self._oms = oms
        self._records = records

    async def answer(self, principal: Principal, account_id: int, call: Call) -> Any:
        """Raises OmsError."""
        own = {
            "create_orders": self._create_each,
            "cancel_orders": self._cancel_each,
            "cancel_orders_with_client_order_ids": self._cancel_each,
            "cancel_orders_for_symbols": self._cancel_each,
            "cancel_all_orders": self._cancel_all,
            "cancel_all_orders_after": self._cancel_all_after,
            "close_position": self._close,
        }
        of_kind = {"create": self._create, "edit": self._edit, "cancel": self._cancel}
        does = own.get(call.name) or of_kind[call.name.partition("_")[0]]
        return await does(principal, account_id, call)

    # Creating and changing

    async def _create(self, principal: Principal, account_id: int, call: Call) -> Structure:
        payload = commands.send_order(call, self._instrument(account_id, call.arguments["symbol"]))
        return await self._one(principal, account_id, "send_order", payload, call)

    async def _create_each(self, principal: Principal, account_id: int, call: Call) -> list[Structure]:
        """One each; one that was refused is among them as rejected, unless all were. One in doubt is told as it is."""
        shared = call.arguments["params"]
        each = [calls.read("create_order", (), _order(given, shared)) for given in call.arguments["orders"]]
        payloads = [commands.send_order(one, self._instrument(account_id, one.arguments["symbol"])) for one in each]
        bodies = [
            commands.body(account_id, "send_order", payload, {**_own_request(shared, index), **one.arguments["params"]})
            for index, (one, payload) in enumerate(zip(each, payloads, strict=True))
        ]
        results = await self._execute(principal, bodies)
        there = [result for result in results if result.order_id is not None and not _is_refused(result)]
        ids = [result.order_id for result in there if result.order_id is not None]
        told = {each["id"]: each for each in await self._records.told_by_ids(principal, account_id, ids)}
        if not told and all(result.error is not None for result in results):
            raise _refusal(next((result for result in results if not _is_refused(result)), results[0]))
        return [
            told.get(str(result.order_id))
            or structures.order_not_told(payload, result.plain(index), is_refused=_is_refused(result))
            for index, (payload, result) in enumerate(zip(payloads, results, strict=True))
        ]

    async def _edit(self, principal: Principal, account_id: int, call: Call) -> Structure:
        row = await self._records.order_named(principal, account_id, call)
        _check_same(row, call)
        payload = commands.change_order(row, call, self._instrument(account_id, row.symbol))
        return await self._one(principal, account_id, "change_order", payload, call)

    # Canceling

    async def _cancel(self, principal: Principal, account_id: int, call: Call) -> Structure:
        row = await self._records.order_named(principal, account_id, call)
        return await self._one(principal, account_id, "cancel_order", {"order_id": row.id}, call)

    async def _cancel_each(self, principal: Principal, account_id: int, call: Call) -> list[Structure]:
        given = call.arguments
        if "clientOrderIds" in given:
            names = [{"clientOrderId": name} for name in given["clientOrderIds"]]
            asked = [calls.read("cancel_order_with_client_order_id", (), name) for name in names]
            ids = [(await self._records.order_named(principal, account_id, each)).id for each in asked]
        elif "orders" in given:
            ids = [id_of(str(each.get("id"))) for each in given["orders"]]
        else:
            ids = [id_of(each) for each in given["ids"]]
        return await self._many(principal, account_id, "cancel_order", {"order_ids": ids}, call)

    async def _cancel_all(self, principal: Principal, account_id: int, call: Call) -> list[Structure]:
        symbol, strategy_id = call.arguments["symbol"], call.arguments["params"].get("strategy_id")
        payload = {
            **({} if symbol is None else {"symbol": symbol}),
            **({} if strategy_id is None else {"strategy_ids": [strategy_id]}),
        }
        return await self._many(principal, account_id, "cancel_all_orders", payload, call)

    async def _cancel_all_after(self, principal: Principal, account_id: int, call: Call) -> Structure:
        payload = {"timeout_ms": call.arguments["timeout"]}
        result = await self._do(principal, account_id, "cancel_all_after", payload, call)
        due = result.more.get("due_at")
        due_ms = None if due is None else int(datetime.fromisoformat(due).timestamp() * 1000)
        return {"triggerTime": due_ms, "info": result.plain(0)}

    # Closing

    async def _close(self, principal: Principal, account_id: int, call: Call) -> Structure:
        """The one open position that is meant; `side` is its own (long, short), or that which opened it."""
        symbol, params = call.arguments["symbol"], call.arguments["params"]
        side = SIDES.get(call.arguments["side"], call.arguments["side"])
        number, strategy_id = params.get("position_id"), params.get("strategy_id")
        held = [
            row
            for row in self._oms.trader(account_id).desk.book.positions.values()
            if row.symbol == symbol
            and side in {None, _side(row)}
            and number in {None, row.id}
            and strategy_id in {None, row.strategy_id}
            and may_close(principal, account_id, row.strategy_id)
        ]
        if len(held) != 1:
            raise bad("symbol", f"{len(held)} open positions of {symbol} are meant: name a position_id", "InvalidOrder")
        payload = commands.close_position(held[0].id, call, self._instrument(account_id, symbol))
        return await self._one(principal, account_id, "close_position", payload, call)

    # How it is done

    async def _execute(self, principal: Principal, asked: object) -> list[CommandResult]:
        with self._oms.waiting():
            return await self._oms.execute(principal, asked)

    async def _do(
        self, principal: Principal, account_id: int, command: str, payload: Mapping[str, Any], call: Call
    ) -> CommandResult:
        """The answer of one command that was not refused."""
        body = commands.body(account_id, command, dict(payload), call.arguments["params"])
        (result,) = await self._execute(principal, body)
        if result.error is not None:
            raise _refusal(result)
        return result

    async def _one(
        self, principal: Principal, account_id: int, command: str, payload: Mapping[str, Any], call: Call
    ) -> Structure:
        """The order that the command is about, as it is after it, or as far as it has come."""
        result = await self._do(principal, account_id, command, payload, call)
        order_id = result.order_id if result.order_id is not None else payload.get("order_id")
        told = await self._records.told_by_ids(principal, account_id, [order_id]) if order_id is not None else []
        if not told:
            raise _unknown(result)
        return told[0]

    async def _many(
        self, principal: Principal, account_id: int, command: str, payload: Mapping[str, Any], call: Call
    ) -> list[Structure]:
        """The orders that the command was about; those that were not canceled are among them, as they are."""
        body = commands.body(account_id, command, dict(payload), call.arguments["params"])
        (result,) = await self._execute(principal, body)
        told = result.more.get("orders", [])
        if result.error is not None and not any(each["ok"] for each in told):
            raise _refusal(result)
        if result.running:
            raise _unknown(result)
        ids = [each["order_id"] for each in told if each["ok"] or each["error"]["code"] != "order_not_found"]
        return await self._records.told_by_ids(principal, account_id, ids or _ids_of(result))

    def _instrument(self, account_id: int, symbol: str) -> Instrument:
        """Raises OmsError."""
        return self._oms.trader(account_id).desk.venue.instrument(symbol)


def _ids_of(result: CommandResult) -> Sequence[int]:
    return [] if result.order_id is None else [result.order_id]


def _is_refused(result: CommandResult) -> bool:
    """For good: it does not say that nobody knows."""
    return result.error is not None and result.error["code"] not in DOUBTFUL


def _refusal(result: CommandResult) -> OmsError:
    """Why a command was refused, with the order that it got as far as."""
    assert result.error is not None
    error = result.error
    named = {"order_id": result.order_id, "command_id": result.command_id}
    details = {**(error.get("details") or {}), **{name: value for name, value in named.items() if value is not None}}
    return OmsError(
        error["code"], error["message"], details=details or None, retry_after_ms=error.get("retry_after_ms")
    )


def _unknown(result: CommandResult) -> OmsError:
    text = "the command is still under way: ask again with the same request_id"
    return OmsError("outcome_unknown", text, details={"command_id": result.command_id, "exception": "RequestTimeout"})


def _order(given: Mapping[str, Any], shared: Mapping[str, Any]) -> dict[str, Any]:
    """One of `createOrders`, with the params of them all below its own."""
    params = given.get("params")
    if params is not None and not isinstance(params, dict):
        raise bad("params", "an object")
    rest = {name: value for name, value in shared.items() if name != "request_id"}
    return {**given, "params": {**rest, **(params or {})}}


def _own_request(shared: Mapping[str, Any], index: int) -> dict[str, Any]:
    """Each order is a command of its own."""
    return {} if shared.get("request_id") is None else {"request_id": f"{shared['request_id']}:{index}"}


def _check_same(row: Order, call: Call) -> None:
    """An order cannot be changed into one of another market, side or kind."""
    kind = "limit" if row.price is not None else "market"
    for name, ours in (("symbol", row.symbol), ("side", row.side.value), ("type", kind)):
        asked = call.arguments.get(name)
        if asked is not None and asked != ours:
            raise bad(name, f"order {row.id} is {ours}, not {asked}", "InvalidOrder")


def _side(row: Position) -> str:
    return "long" if row.qty > 0 else "short"
