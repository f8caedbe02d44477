"""Calls of ccxt's unified functions for an account: who may, and who answers. Any dialect asks here.

What changes something is a command of the OMS; what the OMS knows it answers itself, the rest its exchange does. Must
not know HTTP, nor how ccxt is spoken to.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec

from oms.auth import require_known, require_trade, strategies_of
from oms.errors import OmsError
from oms.model import Principal
from oms.passing import calls
from oms.passing.arguments import floats
from oms.passing.calls import Access, Answerer, Call, Function
from oms.passing.features import features_here
from oms.passing.guests import Guests
from oms.passing.orders import Ordering
from oms.passing.records import Records
from oms.venues.config import PassingLimits

if TYPE_CHECKING:
    from oms.service import Oms

# What ccxt's `has` names functions by; the rest of it says what kinds of markets there are, and what is watched.
FUNCTION: Final = re.compile(
    r"(add|borrow|cancel|close|create|deposit|edit|fetch|load|reduce|repay|set|signIn|transfer|withdraw)([A-Z].*)?"
)
EXCHANGES_OWN: Final = frozenset({"createTakeProfitOrder"})  # a command, of an order that not every exchange keeps

# Of the exchange's books, which know nothing of strategies.
OF_WHOLE_ACCOUNT: Final = frozenset({
    "fetch_balance", "fetch_free_balance", "fetch_used_balance", "fetch_total_balance",
    "fetch_ledger", "fetch_ledger_entry", "fetch_deposits", "fetch_withdrawals", "fetch_deposits_withdrawals",
    "fetch_transfers", "fetch_funding_history", "fetch_my_liquidations", "fetch_borrow_interest",
})  # fmt: skip

_ENCODE: Final = msgspec.json.Encoder(decimal_format="number").encode


class PassThrough:
    """For all accounts of an OMS."""

    def __init__(self, oms: Oms, *, anonymous: bool, limits: PassingLimits = PassingLimits()) -> None:  # noqa: B008  # immutable
        """`anonymous`: market data is for everybody; `limits`: how many of them may ask."""
        self._oms = oms
        self._anonymous = anonymous
        self._guests = Guests(limits)
        self._records = Records(oms)
        self._ordering = Ordering(oms, self._records)

    async def call(
        self,
        principal: Principal | None,
        account_id: int,
        func: str,
        args: Sequence[object],
        kwargs: Mapping[str, object],
    ) -> bytes:
        """What ccxt's function of this name answers for the account, as JSON. None asks as nobody. Raises OmsError."""
        function = calls.function(func)
        self._require(principal, account_id, function)
        call = calls.read(func, args, kwargs)
        if principal is None:
            self._oms.trader(account_id)  # raises when there is none: nobody waits for it
            async with self._guests.turn(account_id):
                return await self._asked(account_id, call)
        if function.answerer is Answerer.EXCHANGE:
            return await self._asked(account_id, call)
        answerer = self._ordering if function.access is Access.TRADE else self._records
        return _ENCODE(await answerer.answer(principal, account_id, call))

    def _require(self, principal: Principal | None, account_id: int, function: Function) -> None:
        access = function.access
        if principal is None:
            if access is not Access.PUBLIC or not self._anonymous:
                raise OmsError("missing_api_key", "this needs an API key: send x-api-key, or Authorization: Bearer")
        elif access is Access.SET:  # of all strategies
            require_trade(principal, account_id, None)
            self._oms.require_unsigned(principal, account_id)  # a call is not signed
        elif access is not Access.READ:  # of a command, the desk says who may have it done
            require_known(principal, account_id)
        elif strategies_of(principal, account_id) and function.name in OF_WHOLE_ACCOUNT:
            text = f"{function.name} is of the whole account, and this API key is for some of its strategies"
            raise OmsError("strategy_permission_denied", text)

    async def _asked(self, account_id: int, call: Call) -> bytes:
        trader = self._oms.trader(account_id)
        public = call.function.access is Access.PUBLIC
        arguments = {**call.arguments, "params": floats(call.arguments["params"])}
        answer = await trader.desk.venue.call(call.name, arguments, public=public)
        return described(answer, trader.account.exchange) if call.name == "describe" else answer


def described(answer: bytes, exchange: str) -> bytes:
    """What an exchange says of itself, with its name here; `has` and `features` are of what can be called here."""
    told: dict[str, Any] = msgspec.json.decode(answer)
    told["has"] = {name: _has(name, value) for name, value in told["has"].items()}
    told["features"] = features_here(told.get("features"))
    told["exchange"] = exchange
    return msgspec.json.encode(told)


def _has(name: str, value: object) -> object:
    if not FUNCTION.fullmatch(name):
        return value
    if not calls.is_listed(name):
        return False
    return True if calls.function(name).answerer is Answerer.OMS and name not in EXCHANGES_OWN else value
