"""A position of the gateway as a unified position. Pure. Must not know a client, nor where a price comes from."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, localcontext
from typing import Any

from driver.mappers.values import milliseconds, plain, text_or_none


def position_fields(position: Mapping[str, Any], mark_price: object = None) -> dict[str, Any]:
    """A position; numbers are texts. `mark_price` is what it is valued at: without one, at nothing.

    What the gateway does not keep (leverage, margins, liquidation) is None.
    """
    qty = Decimal(position["qty"])
    entry = None if position["entry_price"] is None else Decimal(position["entry_price"])
    mark = None if mark_price is None else Decimal(str(mark_price))
    size, inverse = Decimal(position["contract_size"]), bool(position["inverse"])
    return {
        "info": dict(position),
        "id": str(position["id"]),
        "symbol": position["symbol"],
        "timestamp": milliseconds(position["opened_at"]),
        "datetime": position["opened_at"],
        "lastUpdateTimestamp": milliseconds(position["updated_at"]),
        "side": _side(position, qty),
        "contracts": plain(abs(qty)),
        "contractSize": position["contract_size"],
        "entryPrice": position["entry_price"],
        "markPrice": text_or_none(mark_price),
        "lastPrice": None,
        "notional": _value(abs(qty) * size, mark if mark is not None else entry, inverse=inverse),
        "unrealizedPnl": unrealized(qty * size, entry, mark, inverse=inverse),
        "realizedPnl": position["realized_pnl"],
        "hedged": position["state"] == "open" and position["net_key"] is None,
        "stopLossPrice": position["stop_loss"],
        "takeProfitPrice": position["stop_gain"],
        **dict.fromkeys((
            "leverage", "collateral", "initialMargin", "initialMarginPercentage", "maintenanceMargin",
            "maintenanceMarginPercentage", "marginRatio", "liquidationPrice", "marginMode", "percentage",
            "positionMargin",  # newer than ccxt 4.5.64
        )),
    }  # fmt: skip


def _side(position: Mapping[str, Any], qty: Decimal) -> str | None:
    """long or short, also of what is flat; an event may be older than its gateway's knowledge of that."""
    side: str | None = position.get("side")
    return side or (None if not qty else "long" if qty > 0 else "short")


def unrealized(size: Decimal, entry: Decimal | None, mark: Decimal | None, *, inverse: bool) -> str | None:
    """What closing it at `mark` would bring. `size` is signed, and in units of the contract."""
    if not entry or not mark or not size:
        return "0" if not size else None
    with localcontext() as context:
        context.prec = 36
        gain = (1 / entry - 1 / mark) * size if inverse else (mark - entry) * size
        return plain(gain)


def _value(size: Decimal, price: Decimal | None, *, inverse: bool) -> str | None:
    if not price:
        return None
    with localcontext() as context:
        context.prec = 36
        return plain(size / price if inverse else size * price)
