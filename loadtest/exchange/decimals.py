"""Prices and sizes as integers of 1e-8, so that sums are exact and text comes back as it was.

Knows nothing of markets or messages.
"""

DIGITS = 8
ONE: int = 10**DIGITS


def parse(text: str) -> int:
    """Turn decimal text of at most eight decimals into units of 1e-8."""
    whole, _, fraction = text.partition(".")
    if len(fraction) > DIGITS:
        raise ValueError(f"more than {DIGITS} decimals: {text!r}")
    return int(whole + fraction.ljust(DIGITS, "0"))


def show(units: int) -> str:
    """Turn units of 1e-8 into text with eight decimals, as Binance writes every number."""
    if units < 0:
        return "-" + show(-units)
    return f"{units // ONE}.{units % ONE:08d}"
