"""Who is let in, and in which words the others are not."""

import pytest

from loadtest.exchange.accounts import DEFAULT_KEY, DEFAULT_SECRET, Accounts
from loadtest.exchange.params import BinanceError
from loadtest.exchange.signing import authenticate, sign, signed_params, signed_text

NOW_MS = 1_700_000_000_000


def _authenticate(key: str | None, secret: str = DEFAULT_SECRET, **query: str) -> None:
    text = "&".join(f"{name}={value}" for name, value in query.items())
    query.setdefault("signature", sign(secret, text))
    authenticate(Accounts({}), key, text, query, NOW_MS)


def test_the_example_of_binances_documentation() -> None:
    secret = "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j"
    text = (
        "symbol=LTCBTC&side=BUY&type=LIMIT&timeInForce=GTC&quantity=1&price=0.1&recvWindow=5000&timestamp=1499827319559"
    )
    assert sign(secret, text) == "c8db56825ae71d6d79447849e617115f4a920fa2acdcab2b053c4b2838bd6b71"


def test_a_good_request() -> None:
    _authenticate(DEFAULT_KEY, timestamp=str(NOW_MS))
    _authenticate(DEFAULT_KEY, timestamp=str(NOW_MS - 60_000), recvWindow="60000")


@pytest.mark.parametrize(
    ("key", "query", "code", "status"),
    [
        (None, {}, -2014, 401),
        ("unknown", {}, -2015, 401),
        (DEFAULT_KEY, {"timestamp": str(NOW_MS), "signature": ""}, -1102, 400),
        (DEFAULT_KEY, {}, -1102, 400),
        (DEFAULT_KEY, {"timestamp": "x"}, -1100, 400),
        (DEFAULT_KEY, {"timestamp": str(NOW_MS), "recvWindow": "60001"}, -1131, 400),
        (DEFAULT_KEY, {"timestamp": str(NOW_MS), "signature": "0" * 64}, -1022, 400),
        (DEFAULT_KEY, {"timestamp": str(NOW_MS), "signature": "é"}, -1022, 400),
        (DEFAULT_KEY, {"timestamp": str(NOW_MS - 5_001)}, -1021, 400),
        (DEFAULT_KEY, {"timestamp": str(NOW_MS + 1_000)}, -1021, 400),
    ],
)
def test_refusals(key: str | None, query: dict[str, str], code: int, status: int) -> None:
    with pytest.raises(BinanceError) as refused:
        _authenticate(key, **query)
    assert (refused.value.code, refused.value.status) == (code, status)


def test_another_secret_signs_nothing() -> None:
    with pytest.raises(BinanceError, match="Signature for this request is not valid"):
        _authenticate(DEFAULT_KEY, "another", timestamp=str(NOW_MS))


def test_what_is_signed() -> None:
    assert signed_text("a=1&signature=x", "") == "a=1"
    assert signed_text("a=1", "b=2&signature=x") == "a=1b=2"
    assert signed_params({"b": "2", "signature": "x", "a": 1}) == "a=1&b=2"
