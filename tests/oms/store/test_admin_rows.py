"""What an administrator made is out of its row what it was, with money as short as it was said."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

from oms.model import Permission, Risk, Role
from oms.store import admin_rows
from oms.store.rows import EPOCH

PERMISSION = {
    "account_id": 3, "can_read": True, "can_trade": False, "can_close_position": True, "can_risk_manage": False,
    "restrict_to_strategies": [5, 5, 6],
}  # fmt: skip


def test_a_key_has_its_user_its_times_and_what_it_may_do_where() -> None:
    row: Any = {
        "id": 1, "user_id": 2, "user_name": "anna", "role": "trader", "disabled": False, "name": "bot", "prefix": "p",
        "hash": b"h", "scopes": ["read"], "expires_at": None, "revoked_at": EPOCH + timedelta(seconds=1),
        "last_used_at": None, "requests_per_s": 10, "created_at": EPOCH, "permissions": [PERMISSION],
        "sealed_signing": None,
    }  # fmt: skip
    key = admin_rows.key_of(row)
    assert (key.user.name, key.user.role, key.created_ns, key.revoked_ns) == ("anna", Role.TRADER, 0, 10**9)
    may = Permission(account_id=3, can_read=True, can_close_position=True, strategies=frozenset({5, 6}))
    assert key.permissions == {3: may}


def test_limits_are_without_the_zeros_of_their_columns() -> None:
    row: Any = dict.fromkeys(Risk.__struct_fields__) | {
        "account_id": 1, "trading_state": "reducing", "max_order_qty": Decimal("2.500000000000000000"),
    }  # fmt: skip
    risk = admin_rows.risk_of(row)
    assert (str(risk.max_order_qty), risk.max_order_notional, risk.trading_state) == ("2.5", None, "reducing")
