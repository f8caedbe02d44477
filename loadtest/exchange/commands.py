"""Reading what an admin command says: texts, numbers, amounts. Knows nothing of what is commanded."""

import math

from loadtest.exchange.decimals import parse

Command = dict[str, object]


class CommandError(Exception):
    """A malformed command; says what is wrong with it."""


def text(command: Command, name: str, default: str | None = None) -> str:
    value = command.get(name, default)
    if not isinstance(value, str):
        raise CommandError(f"{name} must be a text")
    return value


def number(command: Command, name: str, default: float | None = None) -> float:
    value = command.get(name, default)
    if not isinstance(value, int | float) or isinstance(value, bool) or value < 0:
        raise CommandError(f"{name} must be a number, not negative")
    return value


def whole(
    command: Command, name: str, default: int | None = None, *, least: float = -math.inf, most: float = math.inf
) -> int:
    value = command.get(name, default)
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        limits = f" from {least} to {most}" if most < math.inf else f" of at least {least}" if least > -math.inf else ""
        raise CommandError(f"{name} must be a whole number{limits}")
    return value


def flag(command: Command, name: str, *, default: bool) -> bool:
    value = command.get(name, default)
    if not isinstance(value, bool):
        raise CommandError(f"{name} must be true or false")
    return value


def units(value: object, name: str) -> int:
    """A decimal text, which may be negative, in units of 1e-8."""
    if not isinstance(value, str):
        raise CommandError(f"{name} must be a text")
    try:
        return -parse(value[1:]) if value.startswith("-") else parse(value)
    except ValueError as error:
        raise CommandError(f"{name}: {error}") from None
