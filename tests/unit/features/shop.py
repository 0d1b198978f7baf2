"""A small shop whose customers keep to favourites, for tests of features and models."""

import numpy as np

from state.domain.history import CustomerHistory, HeldInvoice, HeldLine
from state.events.dates import DAY
from state.events.invoice import THOUSAND, Invoice, Line

START = 1_300_000_000
ITEMS = [f"{number:05d}" for number in range(60)]


def shop_log(invoices: int, *, customers: int = 30, seed: int = 1) -> list[Invoice]:
    """Invoices half a day apart: favourites again and again, pairs of items that go together, some returns."""
    generator = np.random.default_rng(seed)
    favourites = [generator.choice(len(ITEMS), 6, replace=False) for _ in range(customers)]
    log: list[Invoice] = []
    bought: dict[int, list[Line]] = {}
    for number in range(invoices):
        customer = int(generator.integers(customers))
        codes = list(generator.choice(favourites[customer], 3, replace=False)) + list(generator.integers(60, size=2))
        codes += [code ^ 1 for code in codes[:2]]
        lines = [_line(int(code), generator) for code in dict.fromkeys(codes)]
        if number % 9 == 8 and customer in bought:
            back = bought[customer][0]
            lines = [Line(back.stock_code, -back.quantity, back.unit_price, back.description)]
        else:
            bought[customer] = lines
        log.append(Invoice(f"{number:06d}", f"c{customer}", START + number * DAY // 2, tuple(lines)))
    return log


def _line(code: int, generator: np.random.Generator) -> Line:
    quantity = int(generator.integers(1, 24)) * THOUSAND
    return Line(ITEMS[code], quantity, round(0.5 + code / 10, 2), f"ITEM {code}")


def history(*baskets: tuple[int, dict[str, int]], price: float = 1.0) -> CustomerHistory:
    """A history of (date, units by stock code); negative units are returns."""
    invoices = tuple(
        HeldInvoice(
            f"{number:06d}", date, tuple(HeldLine(code, units * THOUSAND, price) for code, units in items.items())
        )
        for number, (date, items) in enumerate(baskets)
    )
    return CustomerHistory("ann", invoices)
