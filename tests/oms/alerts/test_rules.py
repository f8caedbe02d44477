"""What is told of a rule that was met."""

from __future__ import annotations

from decimal import Decimal

import pytest

from oms.alerts.rules import told
from oms.model import Alert, AlertType
from tests.oms.resources.served import alert_of


def test_an_alert_is_told_with_exactly_the_members_of_the_protocol() -> None:
    assert told(alert_of(3, message="sell")) == {
        "alert_id": 3, "type": "above", "message": "sell", "symbol": "BTC/USDT",
        "triggered_at": "2026-09-21T14:13:20.000Z",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("alert", "sentence"),
    [
        (alert_of(1), "BTC/USDT is at 61001: above 61000.5"),
        (
            alert_of(1, type=AlertType.PERCENT_CHANGE, price=None, percent=Decimal("-5.50"), window_s=300),
            "BTC/USDT is at 61001: -5.5 % within 300 s",
        ),
    ],
)
def test_one_without_a_message_says_what_happened(alert: Alert, sentence: str) -> None:
    assert told(alert)["message"] == sentence
