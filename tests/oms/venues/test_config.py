"""What a venue's configuration refuses, and that it shows no secret."""

from __future__ import annotations

from typing import Any

import pytest

from oms.errors import OmsError
from oms.model import Environment
from oms.venues.config import VenueConfig


def made(**changes: Any) -> VenueConfig:
    return VenueConfig(**{"klass": "binance", "environment": Environment.LIVE, "credentials": {}, **changes})


def test_credentials_that_ccxt_has_no_name_for() -> None:
    with pytest.raises(OmsError, match="ccxt knows no key") as raised:
        made(credentials={"key": "the-secret-itself"})
    assert "itself" not in str(raised.value)


def test_a_simulated_account_needs_a_simulated_exchange() -> None:
    with pytest.raises(OmsError, match="needs the URLs"):
        made(environment=Environment.SIMULATED)
    urls = {"public": "http://127.0.0.1:1"}
    assert made(environment=Environment.SIMULATED, options={"urls": {"api": urls}}).urls == urls


def test_nothing_secret_is_shown() -> None:
    config = made(
        credentials={"apiKey": "key-key-key", "secret": "secret-secret"}, options={"httpProxy": "http://me:pw@proxy"}
    )
    for secret in ("key-key-key", "secret-secret", "pw"):
        assert secret not in repr(config)
        assert secret not in str(config)
    assert config.scrub("key-key-key was refused, so was secret-secret") == "*** was refused, so was ***"


def test_what_is_too_short_to_be_a_secret_is_left() -> None:
    assert made(credentials={"uid": "1"}).scrub("code 1") == "code 1"


def test_what_is_said_of_every_request_is_no_param_of_an_order() -> None:
    assert made(order_params=frozenset({"mine"})).order_params == {"mine"}
    with pytest.raises(OmsError, match="recvWindow cannot be given") as raised:
        made(order_params=frozenset({"mine", "recvWindow"}))
    assert raised.value.code == "validation_error"
