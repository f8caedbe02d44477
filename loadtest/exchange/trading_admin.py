"""The admin commands of the trading side: accounts, funds, fills by hand, the ledger. Not a part of Binance.

GET  /admin/ledger     every request to create or cancel received, every order and fill accepted; ?account=
GET  /admin/accounts   names, keys and balances
POST /admin/account    {"name": .., "api_key"?, "secret"?, "maker_fee_parts"?, "taker_fee_parts"?, "funds"?: {..}}
POST /admin/fund       {"asset": "USDT", "amount": "100", "account"?}: a negative amount takes away
POST /admin/fill       {"symbol": .., "order_id": N or "client_order_id": .., "account"?, "qty"?, "price"?}
"""

import secrets

from aiohttp import web

from loadtest.exchange.accounts import DEFAULT_NAME, Account, Accounts, InsufficientError
from loadtest.exchange.admin import answer, handler
from loadtest.exchange.commands import Command, CommandError, text, units, whole
from loadtest.exchange.decimals import show
from loadtest.exchange.feed import Feed, FeedError
from loadtest.exchange.fills import Fills
from loadtest.exchange.trading import Trading


class TradingAdmin:
    def __init__(self, feed: Feed, accounts: Accounts, trading: Trading, fills: Fills) -> None:
        self._feed = feed
        self._accounts = accounts
        self._trading = trading
        self._fills = fills

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/admin/ledger", self._ledger),
            web.get("/admin/accounts", self._list),
            web.post("/admin/account", handler(self._open)),
            web.post("/admin/fund", handler(self._fund)),
            web.post("/admin/fill", handler(self._fills.fill)),
        ]

    async def _ledger(self, request: web.Request) -> web.Response:
        return answer(self._trading.ledger.rows(request.query.get("account")))

    async def _list(self, _: web.Request) -> web.Response:
        return answer([_row(account) for account in self._accounts.by_name.values()])

    def _open(self, command: Command) -> object:
        funds = command.get("funds", {})
        if not isinstance(funds, dict):
            raise CommandError("funds must be an object of asset and amount")
        amounts = {str(asset): units(amount, f"funds of {asset}") for asset, amount in funds.items()}
        if min(amounts.values(), default=0) < 0:
            raise CommandError("nobody begins with less than nothing")
        api_key = text(command, "api_key", secrets.token_urlsafe(48))
        secret = text(command, "secret", secrets.token_urlsafe(48))
        account = self._accounts.open(
            text(command, "name"),
            api_key,
            secret,
            whole(command, "maker_fee_parts", 10),
            whole(command, "taker_fee_parts", 10),
        )
        for asset, amount in amounts.items():
            self._deposit(account, asset, amount)
        return _row(account)

    def _fund(self, command: Command) -> object:
        account = self._accounts.named(text(command, "account", DEFAULT_NAME))
        self._deposit(account, text(command, "asset"), units(command.get("amount"), "amount"))
        return _row(account)

    def _deposit(self, account: Account, asset: str, amount: int) -> None:
        try:
            self._trading.deposit(account, asset, amount, self._feed.trading_ms())
        except InsufficientError:
            raise FeedError(f"there is not so much free {asset}") from None


def _row(account: Account) -> dict[str, object]:
    return {
        "name": account.name,
        "api_key": account.api_key,
        "secret": account.secret,
        "balances": {
            asset: {"free": show(balance.free), "locked": show(balance.locked)}
            for asset, balance in account.balances.items()
        },
    }
