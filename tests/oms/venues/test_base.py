"""What a venue refuses with carries what the desk decides by."""

from __future__ import annotations

from oms.venues.base import Ambiguous, Refused


def test_a_refusal_has_a_code_and_doubt_has_none() -> None:
    refused = Refused("insufficient_funds", "not enough USDT")
    assert (refused.code, refused.message, str(refused)) == (
        "insufficient_funds",
        "not enough USDT",
        "not enough USDT",
    )
    assert refused.details is None
    assert Refused("exchange_error", "", {"exception": "MarketClosed"}).details == {"exception": "MarketClosed"}
    assert str(Ambiguous("no answer within 5 s")) == "no answer within 5 s"
