"""Words of messages that depend on a number."""


def count(number: float, noun: str, plural: str = "") -> str:
    """``1 customer``, ``4,334 customers``; ``plural`` where it is not the noun with an s."""
    return f"{number:,.0f} {noun if number == 1 else plural or noun + 's'}"
