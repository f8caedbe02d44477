"""Which orders are refused before anything else, and in which words."""

from typing import Any

import pytest

from loadtest.exchange import filters
from loadtest.exchange.decimals import ONE
from loadtest.exchange.market import Spec
from loadtest.exchange.orders import Request, TimeInForce, Type
from loadtest.exchange.params import BinanceError

SPEC = Spec("BTC", "USDT", ONE // 100, ONE // 1000)
LIMIT = {"side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "quantity": "1", "price": "10", "newClientOrderId": "a"}


def test_a_limit_order() -> None:
    assert filters.read(LIMIT) == Request("a", True, Type.LIMIT, TimeInForce.GTC, ONE, 10 * ONE)


@pytest.mark.parametrize(
    ("sent", "kind"),
    [
        ({"type": "MARKET", "quantity": "1"}, Type.MARKET),
        ({"type": "MARKET", "quoteOrderQty": "1"}, Type.MARKET),
        ({"type": "LIMIT_MAKER", "quantity": "1", "price": "1"}, Type.LIMIT_MAKER),
        ({"type": "STOP_LOSS", "quantity": "1", "stopPrice": "1"}, Type.STOP_LOSS),
        ({"type": "TAKE_PROFIT", "quantity": "1", "stopPrice": "1"}, Type.TAKE_PROFIT),
    ],
)
def test_each_type_has_parameters_of_its_own(sent: dict[str, str], kind: Type) -> None:
    assert filters.read({"side": "SELL", **sent}).type is kind
    for name in sent.keys() - {"type"}:
        with pytest.raises(BinanceError, match="Mandatory parameter") as refused:
            filters.read({"side": "SELL"} | {key: value for key, value in sent.items() if key != name})
        assert refused.value.code == -1102


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"side": "UP"}, -1117),
        ({"type": "HOPE"}, -1116),
        ({"timeInForce": "GTX"}, -1115),
        ({"quantity": "1e3"}, -1100),
        ({"quantity": "-1"}, -1100),
        ({"quantity": "0"}, -1013),
        ({"quantity": "0.123456789"}, -1111),
        ({"stopPrice": "1"}, -1106),
        ({"icebergQty": "1"}, -1106),
        ({"selfTradePreventionMode": "EXPIRE_BOTH"}, -2010),
        ({"newClientOrderId": "with space"}, -1100),
        ({"newClientOrderId": "x" * 37}, -1100),
    ],
)
def test_malformed_parameters(change: dict[str, str], code: int) -> None:
    with pytest.raises(BinanceError) as refused:
        filters.read(LIMIT | change)
    assert refused.value.code == code


def test_an_id_is_made_for_who_gives_none() -> None:
    sent = {name: value for name, value in LIMIT.items() if name != "newClientOrderId"}
    made = {filters.read(sent).client_id for _ in range(10)}
    assert len(made) == 10
    assert all(1 <= len(each) <= 36 for each in made)


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"price": 10 * ONE + 1}, "PRICE_FILTER"),
        ({"price": filters.PRICE_MAX + ONE}, "PRICE_FILTER"),
        ({"stop_price": 1}, "PRICE_FILTER"),
        ({"qty": ONE + 1}, "LOT_SIZE"),
        ({"qty": filters.QTY_MAX + ONE}, "LOT_SIZE"),
        ({"qty": ONE // 1000}, "NOTIONAL"),
        ({"qty": filters.QTY_MAX}, "NOTIONAL"),
        ({"price": 0, "qty": ONE // 1000}, "NOTIONAL"),
        ({"price": 0, "qty": 0, "quote_qty": ONE}, "NOTIONAL"),
    ],
)
def test_filters_in_binances_words(change: dict[str, Any], name: str) -> None:
    request = filters.read(LIMIT)
    filters.check(SPEC, request, 10 * ONE)
    with pytest.raises(BinanceError, match=f"Filter failure: {name}") as refused:
        filters.check(SPEC, request._replace(**change), 10 * ONE)
    assert refused.value.code == -1013


def test_the_listing_is_what_is_checked() -> None:
    names = [row["filterType"] for row in filters.listing(SPEC)]
    assert names == ["PRICE_FILTER", "LOT_SIZE", "NOTIONAL"]
