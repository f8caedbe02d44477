"""Orders are created, changed and canceled: the unified methods that become commands of the gateway.

Holds which command each is and what its answer is made of. Must not know how often something is tried.
"""

from __future__ import annotations

import functools
import time
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Final

from ccxt.base.errors import ArgumentsRequired, BaseError, InvalidOrder, NetworkError

from driver.asking import elapsed_ms, new_request_id
from driver.errors import refusal_of
from driver.fallback import command_first
from driver.history import History, Row, order_id, order_ids
from driver.mappers.values import above_zero, milliseconds, plain, whole
from driver.payloads import check_change, send_order
from driver.plan import Call, Params, Pause, Plan
from driver.sending import DOUBTFUL, UNKNOWN_BY

BATCH_MAX: Final = 100  # commands of a body
CREATED: Final = ("symbol", "type", "side", "amount", "price")  # arguments of createOrder
CANCELED: Final = {"status": "canceled"}
NOT_SENT: Final[Mapping[str, Any]] = {
    "ok": False, "order_id": None, "error": {"code": "exchange_error", "message": "not sent"},
}  # fmt: skip
FILL_WAIT_MS: Final = 1_000
FILL_POLL_MS: Final = 20


def new_client_order_id() -> str:
    """As exchanges take it: up to 36 letters, digits and hyphens."""
    return f"x-{uuid.uuid4().hex}"


def one_named(given: dict[str, Any]) -> list[str]:
    """Arguments of createOrder: whatever becomes of the answer, the order can be found by its clientOrderId."""
    params = given["params"]
    if params.get("clientOrderId") is None:
        params["clientOrderId"] = new_client_order_id()
    return [str(params["clientOrderId"])]


def each_named(given: dict[str, Any]) -> list[str]:
    """The same of createOrders."""
    shared = {name: value for name, value in given["params"].items() if name == "clientOrderId"}
    orders = [{**order, "params": {**shared, **(order.get("params") or {})}} for order in given["orders"]]
    given["orders"] = orders
    return [name for order in orders for name in one_named(order)]


def _passed(self: Orders, given: dict[str, Any], params: Params, names: Sequence[str]) -> Plan[list[dict[str, Any]]]:
    """createOrders behind the gateway, as many at a time as it takes; what one part is refused with is not the rest's.

    Raises what the first part was refused with.
    """
    structures: list[dict[str, Any]] = []
    orders = given["orders"]
    for at in range(0, len(orders), BATCH_MAX):
        part = orders[at : at + BATCH_MAX]
        own = {**params, "request_id": f"{params['request_id']}:{at}"} if at else params
        try:
            structures += yield from self.pass_command_through("create_orders", [part], own, names[at : at + BATCH_MAX])
        except BaseError as error:
            if not at:
                raise
            structures += [self._as_told(_told_by(error), _asked(order)) for order in part]
            if isinstance(error, NetworkError):
                rest = orders[at + BATCH_MAX :]
                return [*structures, *[self._as_told(NOT_SENT, _asked(order)) for order in rest]]
    return structures


class Orders(History):
    """See the module."""

    @command_first(one_named)
    def create_order(
        self, symbol: str, type: str, side: str, amount: float, price: float | None = None, params: Params = {}
    ) -> Plan[dict[str, Any]]:
        """The order, once it is known what became of it; see `driver.payloads.send_order` for what params may hold.

        Raises RequestTimeout when nobody knows; the order can then be fetched by the clientOrderId in the message.
        """
        yield from self.loaded()
        payload = self.order_payload(symbol, type, side, amount, price, params)
        body = self.command_body("send_order", payload, params.get("request_id"))
        (answer,) = yield from self.commands([body])
        result = yield from self._in_spite_of(answer)
        if result["error"]:
            raise self.refusal(body, result)
        return (yield from self.as_it_is(result, payload))

    @command_first(each_named, _passed)
    def create_orders(self, orders: Sequence[Mapping[str, Any]], params: Params = {}) -> Plan[list[dict[str, Any]]]:
        """One order each, in this order; one that was refused has the status rejected, and why in `info`.

        One of which nobody knows what became has no status, and can be fetched by its clientOrderId. Raises what the
        first was refused with when all were.
        """
        yield from self.loaded()
        shared = params.get("request_id") or new_request_id()
        bodies = []
        for index, order in enumerate(orders):
            given = {**params, "request_id": f"{shared}:{index}", **(order.get("params") or {})}
            symbol, kind, side, amount, price = (order.get(name) for name in CREATED)
            payload = self.order_payload(symbol, kind, side, amount, price, given)
            bodies.append(self.command_body("send_order", payload, given["request_id"]))
        results: list[Mapping[str, Any]] = []
        for answer in (yield from self._several(bodies)):
            results.append((yield from self._in_spite_of(answer)))
        if results and all(result["error"] for result in results):
            of_them = list(zip(bodies, results, strict=True))
            body, result = next((each for each in of_them if _code(each[1]) in UNKNOWN_BY), of_them[0])
            raise self.refusal(body, result)
        return (yield from self.as_they_are([(r, body["payload"]) for body, r in zip(bodies, results, strict=True)]))

    @command_first()
    def edit_order(
        self,
        id: str,
        symbol: str,
        type: str,
        side: str,
        amount: float | None = None,
        price: float | None = None,
        params: Params = {},
    ) -> Plan[dict[str, Any]]:
        """The same order with another amount, price or both; `amount` is in all, with what is filled already.

        Raises InvalidOrder for another symbol, type or side than it has, NotSupported for what else cannot be changed.
        """
        order = yield from self.order_by(id, params)
        yield from self.loaded()
        check_change(order, self.market(symbol)["symbol"] if symbol else None, type, side, params)
        if amount is None and price is None:
            raise ArgumentsRequired(f"{self.id}: edit_order requires an amount, a price or both")
        market = order["symbol"]
        new = {
            "new_qty": None if amount is None else self.amount_in_steps(market, amount),
            "new_price": None if price is None else self.price_in_steps(market, price),
        }
        given = {name: value for name, value in new.items() if value is not None}
        payload = {"order_id": order["id"], **given}
        return (yield from self._done("change_order", payload, params, {"symbol": market}))

    @command_first()
    def cancel_order(self, id: str | None, symbol: str | None = None, params: Params = {}) -> Plan[dict[str, Any]]:
        """The order, once it is known to be canceled. Raises InvalidOrder when it is over already."""
        number = order_id(id) if id else (yield from self.order_by(None, params))["id"]
        return (yield from self._done("cancel_order", {"order_id": number}, params, {"symbol": symbol, **CANCELED}))

    def cancel_order_with_client_order_id(
        self, clientOrderId: str, symbol: str | None = None, params: Params = {}
    ) -> Any:
        return self.cancel_order(None, symbol, {**params, "clientOrderId": clientOrderId})

    @command_first()
    def cancel_orders(
        self, ids: Sequence[str], symbol: str | None = None, params: Params = {}
    ) -> Plan[list[dict[str, Any]]]:
        """Each of those orders as it is after it; one that the account does not have is rejected.

        Where it was refused, `info["error"]` says why. Raises what the first was refused with when none was canceled.
        """
        if not ids:
            return []
        return (yield from self._cancel("cancel_order", {"order_ids": order_ids(ids)}, params))

    @command_first()
    def cancel_all_orders(self, symbol: str | None = None, params: Params = {}) -> Plan[list[dict[str, Any]]]:
        """All open orders of the symbol, or of the account; of one strategy when one is named."""
        yield from self.loaded()
        strategy_id = self.strategy_id(params)
        payload = {
            **({} if symbol is None else {"symbol": self.market(symbol)["symbol"]}),
            **({} if strategy_id is None else {"strategy_ids": [strategy_id]}),
        }
        return (yield from self._cancel("cancel_all_orders", payload, params))

    @command_first()
    def cancel_all_orders_after(self, timeout: int, params: Params = {}) -> Plan[dict[str, Any]]:
        """Cancel everything unless this is sent again within `timeout` ms; 0 disarms. `triggerTime` is when, in ms."""
        payload = {"timeout_ms": whole("timeout", timeout)}
        result = yield from self.command("cancel_all_after", payload, params.get("request_id"))
        return {"triggerTime": milliseconds(result.get("due_at")), "info": result}

    # Parts

    def loaded(self) -> Plan[None]:
        """Markets are loaded after this."""
        if not self.markets:
            yield Call("load_markets")

    def order_shown(self, result: Mapping[str, Any]) -> Plan[dict[str, Any]]:
        """The order that a command was about: as the answer shows it, or as it is now."""
        order: Row | None = result.get("order")
        if order is None:
            (order,) = yield from self.orders_by_ids([result["order_id"]])
        deals: Sequence[Row] | None = result.get("deals")
        if deals is None:
            deals = (yield from self.deals_of([order])).get(order["id"], ())
        return self.order_of(order, deals)

    def ended(self, result: Mapping[str, Any]) -> Plan[Mapping[str, Any]]:
        """The answer once the order is over, when it is one that does not rest: its fills come one by one.

        An exchange's own answer to a market order tells all of them. Whoever waits has options['fill_wait_ms'].
        """
        began, wait_ms = time.monotonic(), float(self.options.get("fill_wait_ms", FILL_WAIT_MS))
        order: Row | None = result.get("order")
        while order is None or (order["status"] == "open" and _is_over_at_once(order)):
            if order is not None:
                if elapsed_ms(began) > wait_ms:
                    break
                yield Pause(FILL_POLL_MS)
            (order,) = yield from self.orders_by_ids([result["order_id"]])
            result = {"order_id": result["order_id"], "order": order}
        return result

    def order_payload(
        self, symbol: Any, type: Any, side: Any, amount: Any, price: Any, params: Params
    ) -> dict[str, Any]:
        """The payload of `send_order` for these arguments of createOrder. Markets must be loaded."""
        if amount is None:
            raise InvalidOrder(f"{self.id}: an order requires an amount")
        name = self.market(symbol)["symbol"]
        # Whatever becomes of the answer, the order can be found by it.
        named = {"clientOrderId": new_client_order_id(), **{key: v for key, v in params.items() if v is not None}}
        rest = {key: value for key, value in named.items() if key not in {"strategy_id", "request_id"}}
        limited = str(type).lower() == "limit" and price is not None
        payload = send_order(
            name, type, side, self.amount_in_steps(name, amount), self.price_in_steps(name, price) if limited else None,
            rest, functools.partial(self.price_in_steps, name),
        )  # fmt: skip
        strategy_id = self.strategy_id(params)
        return payload if strategy_id is None else {**payload, "strategy_id": strategy_id}

    def amount_in_steps(self, symbol: str, amount: Any) -> str:
        """Cut off as ccxt does it. Raises InvalidOrder for what is no number above 0, and when nothing is left."""
        return str(self.amount_to_precision(symbol, plain(above_zero("amount", amount))))

    def price_in_steps(self, symbol: str, price: Any) -> str:
        """Rounded as ccxt does it. Raises InvalidOrder for what is no number above 0."""
        return str(self.price_to_precision(symbol, plain(above_zero("price", price))))

    def as_it_is(self, result: Mapping[str, Any], asked: Mapping[str, Any]) -> Plan[dict[str, Any]]:
        """The order of a command; `asked` is what is known of it without an answer, by the names of a payload."""
        (structure,) = yield from self.as_they_are([(result, asked)])
        return structure

    def as_they_are(self, told: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]]) -> Plan[list[dict[str, Any]]]:
        """The orders as they are read, and as far as the answers tell them when they cannot be.

        What was done is no failure because it cannot be looked at.
        """
        structures: list[dict[str, Any]] = []
        is_readable = True
        for result, asked in told:
            if is_readable and not result["error"]:
                try:
                    structures.append((yield from self.order_shown((yield from self.ended(result)))))
                    continue
                except BaseError as error:
                    self.logger.warning("%s: order %s cannot be read: %s", self.id, result.get("order_id"), error)
                    is_readable = False
            structures.append(self._as_told(result, asked))
        return structures

    def _as_told(self, result: Mapping[str, Any], asked: Mapping[str, Any]) -> dict[str, Any]:
        """An order that was not read: by the answer, else by what was asked for."""
        if result.get("order") is not None and not result["error"]:  # of a refusal it says why, not what
            return self.order_of(result["order"], result.get("deals") or ())
        number, symbol = result.get("order_id"), asked.get("symbol")
        status = asked.get("status", "open")
        if result["error"]:
            status = None if _code(result) in UNKNOWN_BY else "rejected"
        structure: dict[str, Any] = self.safe_order(
            {
                "info": dict(result),
                "id": None if number is None else str(number),
                "clientOrderId": asked.get("client_order_id"),
                "symbol": symbol,
                "side": asked.get("side"),
                "type": None if "side" not in asked else "limit" if "price" in asked else "market",
                "amount": asked.get("qty"),
                "price": asked.get("price"),
                "filled": "0" if status == "rejected" else None,
                "status": status,
            },
            None if symbol is None else self._market_of(symbol),
        )
        return structure

    def _in_spite_of(self, result: Mapping[str, Any]) -> Plan[Mapping[str, Any]]:
        """What the order itself says, where the answer says only that something went wrong; else the same answer."""
        number = result.get("order_id")
        if number is None or _code(result) not in DOUBTFUL:
            return result
        try:
            (order,) = yield from self.orders_by_ids([number])
        except BaseError as error:
            self.logger.warning("%s: order %s cannot be read: %s", self.id, number, error)
            return result
        if order["status"] != "rejected":
            return {"order_id": number, "order": order, "error": None}
        code, message = order["error_code"] or "exchange_error", order["error_message"] or "the order is rejected"
        return {**result, "error": {"code": code, "message": message}}

    def _several(self, bodies: Sequence[Mapping[str, Any]]) -> Plan[list[Mapping[str, Any]]]:
        """The answer to each. What a part of them was refused with as a whole is that of the rest, which is not sent.

        Raises that for the first part: nothing was done then, or nobody knows.
        """
        results: list[Mapping[str, Any]] = []
        for at in range(0, len(bodies), BATCH_MAX):
            part = bodies[at : at + BATCH_MAX]
            try:
                results += yield from self.commands(part)
            except BaseError as error:
                if not at:
                    raise
                told = [_told_by(error) for _ in part]
                return [*results, *told, *[NOT_SENT] * (len(bodies) - len(results) - len(part))]
        return results

    def _done(
        self, name: str, payload: Mapping[str, Any], params: Params, asked: Mapping[str, Any] = {}
    ) -> Plan[dict[str, Any]]:
        """The order after a command about it; see `as_it_is`."""
        result = yield from self.command(name, payload, params.get("request_id"))
        return (yield from self.as_it_is({**result, "order_id": payload["order_id"]}, asked))

    def _cancel(self, name: str, payload: Mapping[str, Any], params: Params) -> Plan[list[dict[str, Any]]]:
        body = self.command_body(name, payload, params.get("request_id"))
        (result,) = yield from self.commands([body])
        told = result.get("orders") or ([result] if result.get("order_id") else [])
        if result["error"] and not any(each["ok"] for each in told):
            raise self.refusal(body, result)
        orders: dict[int, Row] = {}
        try:
            ids = [each["order_id"] for each in told if _code(each) != "order_not_found"]
            rows = (yield from self.orders_by_ids(ids)) if ids else []
            deals = yield from self.deals_of(rows)
            orders = {order["id"]: order for order in rows}
        except BaseError as error:
            self.logger.warning("%s: canceled orders cannot be read: %s", self.id, error)
        structures = []
        for each in told:
            order = orders.get(each["order_id"])
            if order is None:
                structures.append(self._canceled_as_told(each))
            else:
                row = {**order, "error": each["error"]} if each["error"] else order
                structures.append(self.order_of(row, deals.get(order["id"], ())))
        return structures

    def _canceled_as_told(self, told: Mapping[str, Any]) -> dict[str, Any]:
        """An order that was to be canceled and was not read: rejected is what the account does not have."""
        if _code(told) == "order_not_found":
            return self._as_told(told, {})
        structure = self._as_told({**told, "error": None}, CANCELED if told["ok"] else {"status": None})
        return {**structure, "info": dict(told)}


def _is_over_at_once(order: Row) -> bool:
    """What waits for a price is not, whatever it becomes when that has come."""
    rests = order["order_type"] != "market" and order["time_in_force"] not in {"IOC", "FOK"}
    return not rests and order["trigger_price"] is None


def _code(told: Mapping[str, Any]) -> str | None:
    return (told.get("error") or {}).get("code")


def _told_by(error: BaseError) -> dict[str, Any]:
    """What is said of each command of a body, as its result."""
    code = "outcome_unknown" if isinstance(error, NetworkError) else "exchange_error"
    said = refusal_of(error)
    code, message = (said.code or code, said.message) if said is not None else (code, str(error))
    return {"ok": False, "order_id": None, "error": {"code": code, "message": message}}


def _asked(order: Mapping[str, Any]) -> dict[str, Any]:
    """One of createOrders by the names of a payload."""
    named = {"symbol": order["symbol"], "side": order["side"], "qty": order["amount"]}
    price = {} if order.get("price") is None else {"price": order["price"]}
    return {**named, **price, "client_order_id": order["params"]["clientOrderId"]}
