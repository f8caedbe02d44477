"""The admin commands of the trading side: accounts, funds, fills by hand, the ledger. Not a part of Binance.

GET  /admin/ledger     every request to create or cancel received, every order and fill accepted; ?account=
GET  /admin/accounts   names, keys and balances
POST /admin/account    {"name": .., "api_key"?, "secret"?, "maker_fee_parts"?, "taker_fee_parts"?, "funds"?: {..}}
POST /admin/fund       {"asset": "USDT", "amount": "100", "account"?}: a negative amount takes away
POST /admin/fill       {"symbol": .., "order_id": N or "client_order_id": .., "account"?, "qty"?, "price"?}
"""

import secrets

from aiohttp import web

from loadtest.exchange.accounts import DEFAULT_NAME, Account, AccountError, Accounts, InsufficientError
from loadtest.exchange.admin import AdminError, Command, answer, handler, text
from loadtest.exchange.decimals import parse, show
from loadtest.exchange.feed import Feed, FeedError
from loadtest.exchange.orders import Order
from loadtest.exchange.params import BinanceError
from loadtest.exchange.trading import Trading


class TradingAdmin:
    def __init__(self, feed: Feed, accounts: Accounts, trading: Trading) -> None:
        self._feed = feed
        self._accounts = accounts
        self._trading = trading

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/admin/ledger", self._ledger),
            web.get("/admin/accounts", self._list),
            web.post("/admin/account", handler(self._open)),
            web.post("/admin/fund", handler(self._fund)),
            web.post("/admin/fill", handler(self._fill)),
        ]

    async def _ledger(self, request: web.Request) -> web.Response:
        return answer(self._trading.ledger.rows(request.query.get("account")))

    async def _list(self, _: web.Request) -> web.Response:
        return answer([_row(account) for account in self._accounts.by_name.values()])

    def _named(self, command: Command) -> Account:
        try:
            return self._accounts.named(text(command, "account") if "account" in command else DEFAULT_NAME)
        except AccountError as error:
            raise FeedError(str(error)) from None

    def _open(self, command: Command) -> object:
        funds = command.get("funds", {})
        if not isinstance(funds, dict):
            raise AdminError("funds must be an object of asset and amount")
        amounts = {str(asset): _units(amount, f"funds of {asset}") for asset, amount in funds.items()}
        api_key = text(command, "api_key") if "api_key" in command else secrets.token_urlsafe(48)
        secret = text(command, "secret") if "secret" in command else secrets.token_urlsafe(48)
        try:
            account = self._accounts.open(
                text(command, "name"), api_key, secret, _parts(command, "maker"), _parts(command, "taker")
            )
        except AccountError as error:
            raise FeedError(str(error)) from None
        for asset, amount in amounts.items():
            self._deposit(account, asset, amount)
        return _row(account)

    def _fund(self, command: Command) -> object:
        account = self._named(command)
        self._deposit(account, text(command, "asset"), _units(command.get("amount"), "amount"))
        return _row(account)

    def _deposit(self, account: Account, asset: str, amount: int) -> None:
        try:
            self._trading.deposit(account, asset, amount, self._feed.trading_ms())
        except InsufficientError:
            raise FeedError(f"there is not so much free {asset}") from None

    def _fill(self, command: Command) -> object:
        order = self._find(command)
        request = order.request
        if order.status.is_open and not order.working:
            raise FeedError("this order waits for its price")
        qty = _units(command["qty"], "qty") if "qty" in command else order.remaining
        price = _units(command["price"], "price") if "price" in command else request.price
        if not 0 < qty <= order.remaining:
            raise FeedError(f"{show(order.remaining)} remain to be filled")
        if price <= 0 or (request.price and (price > request.price if request.buy else price < request.price)):
            raise FeedError("nobody fills an order at a worse price than its own")
        try:
            self._trading.fill_by_hand(order, price, qty, self._feed.trading_ms())
        except BinanceError as error:
            raise FeedError(str(error)) from None
        return {"trade_id": order.fills[-1].trade_id, "status": order.status.value}

    def _find(self, command: Command) -> Order:
        order_id = command.get("order_id")
        if order_id is not None and not isinstance(order_id, int):
            raise AdminError("order_id must be a number")
        client_id = text(command, "client_order_id") if order_id is None else None
        order = self._trading.find(self._named(command), text(command, "symbol"), order_id, client_id)
        if order is None:
            raise FeedError("no such order")
        return order


def _units(value: object, name: str) -> int:
    if not isinstance(value, str):
        raise AdminError(f"{name} must be a text")
    try:
        return -parse(value[1:]) if value.startswith("-") else parse(value)
    except ValueError as error:
        raise AdminError(f"{name}: {error}") from None


def _parts(command: Command, side: str) -> int:
    parts = command.get(f"{side}_fee_parts", 10)
    if not isinstance(parts, int):
        raise AdminError(f"{side}_fee_parts must be a whole number")
    return parts


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
