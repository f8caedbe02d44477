"""Binance's words for orders, fills and balances: REST answers and user data events.

Pure functions from state to JSON-ready dicts; the caller says what time it is.
"""

from collections.abc import Iterable

from loadtest.exchange.accounts import FEE_PARTS, Account
from loadtest.exchange.decimals import ONE, show
from loadtest.exchange.orders import Fill, Order

Report = dict[str, object]
STP_MODE = "EXPIRE_MAKER"


def _side(order: Order) -> str:
    return "BUY" if order.request.buy else "SELL"


def _common(order: Order) -> Report:
    request = order.request
    report: Report = {
        "symbol": order.spec.symbol,
        "orderId": order.id,
        "orderListId": -1,
        "clientOrderId": order.client_id,
        "price": show(request.price),
        "origQty": show(order.qty),
        "executedQty": show(order.executed),
        "origQuoteOrderQty": show(request.quote_qty),
        "cummulativeQuoteQty": show(order.quote_executed),
        "status": order.status.value,
        "timeInForce": request.time_in_force.value,
        "type": request.type.value,
        "side": _side(order),
        "workingTime": order.created_ms if order.working or order.fills else -1,
        "selfTradePreventionMode": STP_MODE,
    }
    if request.stop_price:
        report["stopPrice"] = show(request.stop_price)
    return report


def placed(order: Order, form: str) -> Report:
    """The answer to a new order: ACK, RESULT or FULL."""
    if form == "ACK":
        return {
            "symbol": order.spec.symbol,
            "orderId": order.id,
            "orderListId": -1,
            "clientOrderId": order.client_id,
            "transactTime": order.updated_ms,
        }
    report = _common(order) | {"transactTime": order.updated_ms}
    if form == "FULL":
        report["fills"] = [
            {
                "price": show(fill.price),
                "qty": show(fill.qty),
                "commission": show(fill.fee),
                "commissionAsset": fill.fee_asset,
                "tradeId": fill.trade_id,
            }
            for fill in order.fills
        ]
    return report


def canceled(order: Order, cancel_id: str) -> Report:
    """The answer to a cancel goes by the cancel's own client id."""
    return _common(order) | {
        "origClientOrderId": order.client_id,
        "clientOrderId": cancel_id,
        "transactTime": order.updated_ms,
    }


def state(order: Order) -> Report:
    """An order as the queries tell it."""
    return _common(order) | {
        "stopPrice": show(order.request.stop_price),
        "icebergQty": show(0),
        "time": order.created_ms,
        "updateTime": order.updated_ms,
        "isWorking": order.working or bool(order.fills) or not order.request.type.is_conditional,
    }


def trade(fill: Fill) -> Report:
    order = fill.order
    return {
        "symbol": order.spec.symbol,
        "id": fill.trade_id,
        "orderId": order.id,
        "orderListId": -1,
        "price": show(fill.price),
        "qty": show(fill.qty),
        "quoteQty": show(fill.quote_qty),
        "commission": show(fill.fee),
        "commissionAsset": fill.fee_asset,
        "time": fill.time_ms,
        "isBuyer": order.request.buy,
        "isMaker": fill.maker,
        "isBestMatch": True,
    }


def account(owner: Account, *, omit_zero: bool) -> Report:
    maker, taker = (show(parts * ONE // FEE_PARTS) for parts in (owner.maker_fee_parts, owner.taker_fee_parts))
    return {
        "makerCommission": owner.maker_fee_parts,
        "takerCommission": owner.taker_fee_parts,
        "buyerCommission": 0,
        "sellerCommission": 0,
        "commissionRates": {"maker": maker, "taker": taker, "buyer": show(0), "seller": show(0)},
        "canTrade": True,
        "canWithdraw": False,
        "canDeposit": False,
        "brokered": False,
        "requireSelfTradePrevention": False,
        "preventSor": False,
        "updateTime": owner.updated_ms,
        "accountType": "SPOT",
        "balances": [
            {"asset": asset, "free": show(balance.free), "locked": show(balance.locked)}
            for asset, balance in owner.balances.items()
            if balance.free or balance.locked or not omit_zero
        ],
        "permissions": ["SPOT"],
        "uid": owner.uid,
    }


def execution(
    order: Order, kind: str, event_number: int, now_ms: int, fill: Fill | None = None, cancel_id: str = ""
) -> Report:
    """`executionReport`: what happened to an order; a cancel goes by its own client id and names the order's as C."""
    request = order.request
    return {
        "e": "executionReport",
        "E": now_ms,
        "s": order.spec.symbol,
        "c": cancel_id or order.client_id,
        "S": _side(order),
        "o": request.type.value,
        "f": request.time_in_force.value,
        "q": show(order.qty),
        "p": show(request.price),
        "P": show(request.stop_price),
        "F": show(0),
        "g": -1,
        "C": order.client_id if cancel_id else "",
        "x": kind,
        "X": order.status.value,
        "r": "NONE",
        "i": order.id,
        "l": show(fill.qty if fill else 0),
        "z": show(order.executed),
        "L": show(fill.price if fill else 0),
        "n": show(fill.fee) if fill else "0",
        "N": fill.fee_asset if fill else None,
        "T": fill.time_ms if fill else order.updated_ms,
        "t": fill.trade_id if fill else -1,
        "I": event_number,
        "w": order.working or (kind == "NEW" and not request.type.is_conditional),
        "m": fill.maker if fill else False,
        "M": fill is not None,
        "O": order.created_ms,
        "Z": show(order.quote_executed),
        "Y": show(fill.quote_qty if fill else 0),
        "Q": show(request.quote_qty),
        "W": order.created_ms,
        "V": STP_MODE,
    }


def position(owner: Account, assets: Iterable[str], now_ms: int) -> Report:
    """`outboundAccountPosition`: what an account has now of what may have changed."""
    return {
        "e": "outboundAccountPosition",
        "E": now_ms,
        "u": owner.updated_ms,
        "B": [
            {"a": asset, "f": show(owner.balance(asset).free), "l": show(owner.balance(asset).locked)}
            for asset in assets
        ],
    }


def balance_update(asset: str, change: int, now_ms: int) -> Report:
    """`balanceUpdate`: a deposit or a withdrawal."""
    return {"e": "balanceUpdate", "E": now_ms, "a": asset, "d": show(change), "T": now_ms}
