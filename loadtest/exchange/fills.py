"""Fills on command: of an order at rest, of one that has ended, and where its owner does not see it.

`POST /admin/fill` and two faults:

    fill_canceled  [qty] [count]     the next orders to be cancelled are filled right after it
    fill_unseen    as POST /admin/fill: cut the owner's user data streams, and fill in the same moment
"""

from collections.abc import Callable, Mapping

from loadtest.exchange.accounts import DEFAULT_NAME, Accounts
from loadtest.exchange.commands import Command, CommandError, text, units, whole
from loadtest.exchange.decimals import show
from loadtest.exchange.feed import Feed, FeedError
from loadtest.exchange.orders import Order
from loadtest.exchange.params import BinanceError
from loadtest.exchange.streams import Streams
from loadtest.exchange.trading import Trading
from loadtest.exchange.userdata import stream_name


class Fills:
    def __init__(self, feed: Feed, accounts: Accounts, trading: Trading, streams: Streams) -> None:
        self._feed = feed
        self._accounts = accounts
        self._trading = trading
        self._streams = streams
        # Sizes of fills after cancels to come; None: all that remains.
        self._after_cancels: list[int | None] = []
        self.kinds: Mapping[str, Callable[[Command], int]] = {
            "fill_canceled": self._fill_canceled,
            "fill_unseen": self._fill_unseen,
        }

    def fill(self, command: Command) -> object:
        """Fill the order that is named, by `qty` or whole, at `price` or its own."""
        return self._fill(self._find(command), command)

    def _fill(self, order: Order, command: Command) -> object:
        request = order.request
        if order.status.is_open and not order.working:
            raise FeedError("this order waits for its price")
        qty = units(command["qty"], "qty") if "qty" in command else order.remaining
        price = units(command["price"], "price") if "price" in command else request.price
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
        order_id = whole(command, "order_id") if "order_id" in command else None
        client_id = text(command, "client_order_id") if order_id is None else None
        account = self._accounts.named(text(command, "account", DEFAULT_NAME))
        order = self._trading.find(account, text(command, "symbol"), order_id, client_id)
        if order is None:
            raise FeedError("no such order")
        return order

    def _fill_unseen(self, command: Command) -> int:
        order = self._find(command)
        listeners = list(self._streams.topic(stream_name(order.account)).connections.values())
        for connection in listeners:
            connection.abort()
        self._fill(order, command)
        return len(listeners)

    def _fill_canceled(self, command: Command) -> int:
        qty = units(command["qty"], "qty") if "qty" in command else None
        if qty is not None and qty <= 0:
            raise CommandError("qty must be above 0")
        self._after_cancels += [qty] * whole(command, "count", 1, least=1)
        return 0

    def canceled(self, order: Order, now_ms: int) -> None:
        """An order was cancelled just now."""
        # One that waited for its price was never on the book: nobody can have traded with it.
        if self._after_cancels and not order.request.type.is_conditional:
            qty = self._after_cancels.pop(0)
            part = order.remaining if qty is None else min(qty, order.remaining)
            self._trading.fill_by_hand(order, order.request.price, part, now_ms)

    def clear(self) -> None:
        self._after_cancels.clear()

    def status(self) -> Mapping[str, int]:
        return {"fill_canceled": len(self._after_cancels)}
