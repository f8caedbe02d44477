"""Orders are created, changed and canceled: the unified methods that become commands of the gateway.

Holds which command each is and what its answer is made of. Must not know how often something is tried.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Final

from ccxt.base.errors import ArgumentsRequired, BaseError, InvalidOrder

from driver.asking import elapsed_ms
from driver.errors import of_result, refusal_of
from driver.fallback import oms_first
from driver.history import History, Row, order_id
from driver.payloads import check_change, send_order
from driver.plan import Call, Params, Pause, Plan

BATCH_MAX: Final = 100  # commands of a body
CREATED: Final = ("symbol", "type", "side", "amount", "price")  # arguments of createOrder
FILL_WAIT_MS: Final = 1_000
FILL_POLL_MS: Final = 20
DOUBTFUL: Final = frozenset({"internal_error", "outcome_unknown"})  # the order itself knows better than the answer


class Orders(History):
    """See the module."""

    @oms_first
    def create_order(
        self, symbol: str, type: str, side: str, amount: float, price: float | None = None, params: Params = {}
    ) -> Plan[dict[str, Any]]:
        """The order, once it is known what became of it; see `driver.payloads.send_order` for what params may hold.

        Raises RequestTimeout when nobody knows; the order can then be fetched by the clientOrderId in the message.
        """
        body = yield from self._create_body(symbol, type, side, amount, price, params)
        try:
            (result,) = yield from self.commands([body])
        except BaseError as error:
            said = refusal_of(error)
            if said is None or said.order_id is None or said.code not in DOUBTFUL:
                raise
            result = yield from self._in_spite_of(error, said.order_id)
        return (yield from self.order_shown((yield from self.ended(result))))

    @oms_first
    def create_orders(self, orders: Sequence[Mapping[str, Any]], params: Params = {}) -> Plan[list[dict[str, Any]]]:
        """One order each, in this order; one that was refused has the status rejected, and why in `info`.

        Raises what the first was refused with when all were.
        """
        bodies = []
        for order in orders:
            given = {**params, **(order.get("params") or {})}
            symbol, kind, side, amount, price = (order.get(name) for name in CREATED)
            bodies.append((yield from self._create_body(symbol, kind, side, amount, price, given)))
        results: list[Mapping[str, Any]] = []
        for at in range(0, len(bodies), BATCH_MAX):
            results += yield from self._each(bodies[at : at + BATCH_MAX])
        if results and all(result["error"] for result in results):
            raise of_result(results[0])
        structures = []
        for body, result in zip(bodies, results, strict=True):
            if result["error"]:
                structures.append(self._refused(body["payload"], result))
            else:
                structures.append((yield from self.order_shown((yield from self.ended(result)))))
        return structures

    @oms_first
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
            "new_qty": None if amount is None else str(self.amount_to_precision(market, amount)),
            "new_price": None if price is None else str(self.price_to_precision(market, price)),
        }
        given = {name: value for name, value in new.items() if value is not None}
        payload = {"order_id": order["id"], **given}
        return (yield from self._done("change_order", payload, params))

    @oms_first
    def cancel_order(self, id: str | None, symbol: str | None = None, params: Params = {}) -> Plan[dict[str, Any]]:
        """The order, once it is known to be canceled. Raises InvalidOrder when it is over already."""
        number = order_id(id) if id else (yield from self.order_by(None, params))["id"]
        return (yield from self._done("cancel_order", {"order_id": number}, params))

    def cancel_order_with_client_order_id(
        self, clientOrderId: str, symbol: str | None = None, params: Params = {}
    ) -> Any:
        return self.cancel_order(None, symbol, {**params, "clientOrderId": clientOrderId})

    @oms_first
    def cancel_orders(
        self, ids: Sequence[str], symbol: str | None = None, params: Params = {}
    ) -> Plan[list[dict[str, Any]]]:
        """Those orders as they are after it; those that could not be canceled are among them, as they are.

        Raises what the first was refused with when none was canceled.
        """
        if not ids:
            return []
        return (yield from self._cancel("cancel_order", {"order_ids": [order_id(each) for each in ids]}, params))

    @oms_first
    def cancel_all_orders(self, symbol: str | None = None, params: Params = {}) -> Plan[list[dict[str, Any]]]:
        """All open orders of the symbol, or of the account; of one strategy when one is named."""
        yield from self.loaded()
        strategy_id = self.strategy_id(params)
        payload = {
            **({} if symbol is None else {"symbol": self.market(symbol)["symbol"]}),
            **({} if strategy_id is None else {"strategy_ids": [strategy_id]}),
        }
        return (yield from self._cancel("cancel_all_orders", payload, params))

    @oms_first
    def cancel_all_orders_after(self, timeout: int, params: Params = {}) -> Plan[dict[str, Any]]:
        """Cancel everything unless this is sent again within `timeout` ms; 0 disarms."""
        payload = {"timeout_ms": int(timeout)}
        return (yield from self.command("cancel_all_after", payload, params.get("request_id")))

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
        self, symbol: str, type: str, side: str, amount: float, price: float | None, params: Params
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
            name, type, side, str(self.amount_to_precision(name, amount)),
            str(self.price_to_precision(name, price)) if limited else None, rest,
            lambda each: str(self.price_to_precision(name, each)),
        )  # fmt: skip
        strategy_id = self.strategy_id(params)
        return payload if strategy_id is None else {**payload, "strategy_id": strategy_id}

    def _create_body(
        self, symbol: Any, type: Any, side: Any, amount: Any, price: Any, params: Params
    ) -> Plan[dict[str, Any]]:
        yield from self.loaded()
        payload = self.order_payload(symbol, type, side, amount, price, params)
        return self.command_body("send_order", payload, params.get("request_id"))

    def _in_spite_of(self, error: BaseError, number: int) -> Plan[dict[str, Any]]:
        """What the order itself says, of which the answer said only that something went wrong."""
        (order,) = yield from self.orders_by_ids([number])
        if order["status"] == "rejected":
            raise error
        return {"order_id": number, "order": order}

    def _each(self, bodies: Sequence[Mapping[str, Any]]) -> Plan[list[Mapping[str, Any]]]:
        """The answers to several commands, also when all were refused."""
        try:
            return list((yield from self.commands(bodies)))
        except BaseError as error:
            said = refusal_of(error)
            if said is None or not said.results:
                raise
            return list(said.results)

    def _refused(self, payload: Row, result: Mapping[str, Any]) -> dict[str, Any]:
        structure: dict[str, Any] = self.safe_order(
            {
                "info": dict(result),
                "id": None if result.get("order_id") is None else str(result["order_id"]),
                "clientOrderId": payload.get("client_order_id"),
                "symbol": payload["symbol"],
                "side": payload["side"],
                "type": "limit" if "price" in payload else "market",
                "amount": payload["qty"],
                "price": payload.get("price"),
                "filled": "0",
                "status": "rejected",
            },
            self._market_of(payload["symbol"]),
        )
        return structure

    def _done(self, name: str, payload: Mapping[str, Any], params: Params) -> Plan[dict[str, Any]]:
        """The order after a command about it."""
        result = yield from self.command(name, payload, params.get("request_id"))
        return (yield from self.order_shown({"order_id": payload["order_id"], **result}))

    def _cancel(self, name: str, payload: Mapping[str, Any], params: Params) -> Plan[list[dict[str, Any]]]:
        body = self.command_body(name, payload, params.get("request_id"))
        (result,) = yield from self._each([body])
        told = result.get("orders") or ([result] if result.get("order_id") else [])
        if result["error"] and not any(each["ok"] for each in told):
            raise of_result(result)
        ids = [each["order_id"] for each in told if each["ok"] or _code(each) != "order_not_found"]
        orders = (yield from self.orders_by_ids(ids)) if ids else []
        deals = yield from self.deals_of(orders)
        return [self.order_of(order, deals.get(order["id"], ())) for order in orders]


def _is_over_at_once(order: Row) -> bool:
    return order["order_type"] == "market" or order["time_in_force"] in {"IOC", "FOK"}


def new_client_order_id() -> str:
    """As exchanges take it: up to 36 letters, digits and hyphens."""
    return f"x-{uuid.uuid4().hex}"


def _code(told: Mapping[str, Any]) -> str | None:
    return (told.get("error") or {}).get("code")
