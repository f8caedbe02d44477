"""What an order is called at the venue: the caller's client id, or one derived from the committed order.

Pure. Must not know how a venue is spoken to.
"""

from __future__ import annotations

from oms.commands import OWN_PREFIX
from oms.model import Account, Order

CLIENT_ID_MAX = 36


def derived(account: Account, order_id: int) -> str:
    """An id that no other order of this account's venue has: the epoch is the account's own, in every database."""
    return f"{OWN_PREFIX}{account.epoch[:12]}-{order_id}"


def venue_client_id(account: Account, order: Order) -> str:
    """The id it is created with; each time it is created anew it has another, which says which order it is."""
    if not order.replaces:
        return order.client_order_id
    name = f"{derived(account, order.id)}.{order.replaces}"
    assert len(name) <= CLIENT_ID_MAX, name
    return name


def order_id_of(account: Account, client_order_id: str) -> int | None:
    """Whose id it is, when it was made by `venue_client_id` for an order that was created anew."""
    start = f"{OWN_PREFIX}{account.epoch[:12]}-"
    number, _, times = client_order_id.removeprefix(start).partition(".")
    mine = client_order_id.startswith(start) and number.isdecimal() and times.isdecimal()
    return int(number) if mine else None
