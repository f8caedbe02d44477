"""`tickwire trading`: the kill switch of all accounts at once.

Holds what is asked and said. Must not know what each state lets through: that is `oms.risk`'s.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from gateway.commands.database import change, configured, note
from oms.model import TradingState
from oms.store import admin
from oms.store.pool import Connection


def trading(state: Literal["active", "reducing", "halted"] | None = None, *, config: Path | None = None) -> None:
    """Say or change what may be sent for all accounts at once.

    Parameters
    ----------
    state
        active: what each account's own limits allow; reducing: what makes positions smaller; halted: no order.
        Cancelling and closing are always allowed. Without it nothing is changed.
    config
        The configuration; without it, tickwire.toml of this folder when there is one.
    """

    async def work(connection: Connection) -> str:
        if state is not None:
            await admin.set_trading_state(connection, TradingState(state))
            await note(connection, "trading.change", "all accounts", trading_state=state)
        return (await admin.trading_state(connection)).value

    print(f"Trading is {change(configured(config), work)} for all accounts")
