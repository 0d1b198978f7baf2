"""Small logs of purchases for tests."""

from state.events.dates import DAY
from state.events.invoice import THOUSAND, Invoice, Line

START = 1_300_000_000


def invoice(number: str, customer: str, day: float, *codes: str, back: bool = False) -> Invoice:
    """One of each code bought (or brought back) some days after ``START``."""
    sign = -1 if back else 1
    lines = tuple(Line(code, sign * THOUSAND, 1.0, code.upper()) for code in codes)
    return Invoice(number, customer, START + int(day * DAY), lines)
