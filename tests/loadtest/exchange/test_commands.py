"""What a command may say, and in which words it is refused."""

import re
from collections.abc import Callable

import pytest

from loadtest.exchange.commands import Command, CommandError, flag, number, text, units, whole
from loadtest.exchange.decimals import ONE


def test_what_is_sent_is_read() -> None:
    command: Command = {"a": "x", "b": 1.5, "c": 3, "d": False}
    assert (text(command, "a"), number(command, "b"), whole(command, "c")) == ("x", 1.5, 3)
    assert flag(command, "d", default=True) is False
    assert (units("-1.5", "e"), units("2", "e")) == (-3 * ONE // 2, 2 * ONE)


def test_what_is_not_sent_has_its_default() -> None:
    assert (text({}, "a", "x"), number({}, "b", 2), whole({}, "c", 3), flag({}, "d", default=True)) == ("x", 2, 3, True)


@pytest.mark.parametrize(
    ("read", "why"),
    [
        (lambda: text({}, "a"), "a must be a text"),
        (lambda: text({"a": 1}, "a"), "a must be a text"),
        (lambda: number({"a": True}, "a"), "a must be a number, not negative"),
        (lambda: number({"a": -1}, "a"), "a must be a number, not negative"),
        (lambda: whole({"a": 1.0}, "a"), "a must be a whole number"),
        (lambda: whole({"a": True}, "a"), "a must be a whole number"),
        (lambda: whole({"a": 9}, "a", least=1, most=8), "a must be a whole number from 1 to 8"),
        (lambda: whole({"a": 0}, "a", least=1), "a must be a whole number of at least 1"),
        (lambda: flag({"a": 1}, "a", default=True), "a must be true or false"),
        (lambda: units(1, "a"), "a must be a text"),
        (lambda: units("much", "a"), "a: "),
        (lambda: units("0.123456789", "a"), "a: more than 8 decimals"),
    ],
)
def test_what_cannot_be_read_is_named(read: Callable[[], object], why: str) -> None:
    with pytest.raises(CommandError, match=f"^{re.escape(why)}"):
        read()
