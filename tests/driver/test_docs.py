"""docs/driver.md against the driver: exceptions, settings, and what is shown to be typed."""

from __future__ import annotations

import ast
import re

import pytest
from ccxt.base import errors as ccxt_errors

from driver import asking, orders
from driver.description import description
from driver.errors import CODES, Refusal, exception_of
from driver.payloads import OWN
from driver.retries import Policy
from gateway.errors import CODES as CATALOGUE
from tests.docs_parts import fences, table, text_of

NAME = "docs/driver.md"


def named(text: str) -> list[str]:
    return re.findall(r"`([^`]+)`", text)


def test_each_code_is_told_with_its_exception() -> None:
    rows = table(NAME, "## When something fails")
    told = {code: row.value for row in rows for code in re.findall(r"[a-z_]+", row.name) if row.name != "others"}
    assert told.pop("validation_error").startswith("InvalidOrder for")
    assert told == {code: kind.__name__ for code, kind in CODES.items()}
    for code in set(CATALOGUE) - set(told) - {"validation_error"}:
        assert type(exception_of(Refusal(code, ""))) is ccxt_errors.ExchangeError, "others"


@pytest.mark.parametrize(
    "default", ["15,000 ms", "127.0.0.1:8765", "30,000:", "1,000:", '"delay_ms": 100', '"tries": 4']
)
def test_defaults_are_those_of_the_code(default: str) -> None:
    policy = Policy()
    known = {
        f"{description()['timeout']:,} ms", description()["hostname"], f"{asking.COMMAND_TIMEOUT_MS:,}:",
        f"{orders.FILL_WAIT_MS:,}:", f'"delay_ms": {policy.delay_ms:g}', f'"tries": {policy.tries}',
    }  # fmt: skip
    assert default in known
    assert default in text_of(NAME)


def test_options_are_those_that_are_read() -> None:
    told = set(re.findall(r'options\["(\w+)"\]', text_of(NAME)))
    files = ("asking", "base", "history", "market", "orders", "retries")
    source = "".join(text_of(f"driver/{name}.py") for name in files)
    read = set(re.findall(r'options(?:\.get\(|\[)"(\w+)"', source))
    assert read <= told


def test_params_of_the_command_are_told() -> None:
    assert set(OWN) - {"stop_loss", "stop_gain", "expires_at"} <= set(named(text_of(NAME).replace(", ", "` `")))


def test_what_is_shown_is_python() -> None:
    (shown,) = fences(NAME, "python")
    assert "driver.register()" in ast.unparse(ast.parse(shown))
