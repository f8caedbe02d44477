"""What a signed request does not read is refused."""

import pytest

from loadtest.exchange import known
from loadtest.exchange.params import BinanceError
from loadtest.exchange.signed import Signed
from tests.loadtest.exchange.floor import Floor


def test_each_signed_request_has_its_parameters() -> None:
    signed = Signed(Floor([(98, 5)], [(101, 2)]).trading, lambda order, now_ms: None)
    assert known.PARAMETERS.keys() == signed.acts.keys()


@pytest.mark.parametrize(("method", "path"), list(known.PARAMETERS))
def test_a_parameter_that_is_not_read_is_refused(method: str, path: str) -> None:
    sent = [*known.PARAMETERS[method, path], "timestamp", "recvWindow", "signature"]
    known.check(method, path, sent)
    with pytest.raises(
        BinanceError, match=f"read '{len(sent)}' parameter.s. but was sent '{len(sent) + 1}'"
    ) as refused:
        known.check(method, path, [*sent, "postOnly"])
    assert refused.value.code == -1104
