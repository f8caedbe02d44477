"""What ccxt knows of an account's money, asked beside its orders: they never wait for it.

Must not know positions, nor who watches.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Final

import msgspec

from oms.errors import OmsError
from oms.model import ZERO
from oms.venues.base import Ending, Statement

if TYPE_CHECKING:
    from oms.venues.beside import Beside


class _Balance(msgspec.Struct):
    total: dict[str, Decimal | None]


_read: Final = msgspec.json.Decoder(_Balance).decode


class Balances:
    """`balance` is the total in one currency; whatever else is held is beside it, as `balance_BTC`."""

    def __init__(self, beside: Beside, currency: str) -> None:
        self._beside = beside
        self._currency = currency

    async def read(self) -> Statement:
        told = await self._beside.call("fetch_balance", {"params": {}}, public=False)
        try:
            totals = _read(told).total
        except msgspec.MsgspecError:
            raise OmsError("exchange_error", "the exchange told no balances") from None
        figures = {"balance": totals.get(self._currency) or ZERO}
        others = {name: total for name, total in sorted(totals.items()) if total and name != self._currency}
        figures |= {f"balance_{name}": total for name, total in others.items()}
        return Statement(figures=figures, currency=self._currency)

    async def endings(self, tickets: Sequence[int]) -> Mapping[int, Ending]:
        """It has no positions."""
        return {}

    async def close(self) -> None:
        """The clients are the account's, and stay."""
