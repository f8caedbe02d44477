"""What an order is called at the venue, and whose order a name is."""

from __future__ import annotations

import pytest

from oms.desk import naming
from tests.oms import orders_made

ACCOUNT = orders_made.account(epoch="0123456789abcdef")


def test_the_first_time_it_is_the_callers_own_or_a_derived_id() -> None:
    assert naming.venue_client_id(ACCOUNT, orders_made.order(7, client_order_id="mine")) == "mine"
    assert naming.derived(ACCOUNT, 7) == "tw-0123456789ab-7"


def test_each_time_it_is_created_anew_it_has_another_which_says_whose_it_is() -> None:
    names = {naming.venue_client_id(ACCOUNT, orders_made.order(7, replaces=times)) for times in range(4)}
    assert len(names) == 4
    assert [naming.order_id_of(ACCOUNT, name) for name in sorted(names)] == [None, 7, 7, 7]


@pytest.mark.parametrize("name", ["tw-0123456789ab-7", "tw-ffff56789abc-7.1", "7.1", "tw-0123456789ab-x.1", ""])
def test_other_names_say_nothing(name: str) -> None:
    assert naming.order_id_of(ACCOUNT, name) is None


def test_the_longest_fits_where_venues_allow_little() -> None:
    order = orders_made.order(10**12, replaces=99)
    assert len(naming.venue_client_id(ACCOUNT, order)) <= naming.CLIENT_ID_MAX
