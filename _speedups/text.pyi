"""Numbers as the wire says them: for who checks it from outside; the gateway writes them in C."""

def number(value: float) -> str:
    """The shortest decimal that reads back as `value`: no exponent, no ".0". ValueError for NaN and infinities."""
