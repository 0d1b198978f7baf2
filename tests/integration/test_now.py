"""``nextbasket now``: an invoice of the future is shown, removed, and "now" is back."""

import subprocess
import time
from contextlib import closing
from pathlib import Path

import pytest

from state.events.dates import to_iso
from state.events.invoice import Invoice, Line
from state.settings import Settings
from state.store.redis.store import RedisStore
from tests.integration.workers import NEXTBASKET, clean_environment, nextbasket

DAY = 86_400
YEARS = 3_650 * DAY

pytestmark = pytest.mark.timeout(120)


def run(variables: dict[str, str], *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [NEXTBASKET, *arguments],
        env=clean_environment(variables),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def sold(number: str, customer: str, date: int, *codes: str) -> Invoice:
    return Invoice(number, customer, date, tuple(Line(code, 1_000, 1.5, f"ITEM {code}") for code in codes))


def test_an_invoice_of_the_future_is_removed_and_now_is_set_right(
    environment: dict[str, str], settings: Settings, tmp_path: Path
) -> None:
    today = int(time.time()) - 3_600
    usual = [sold(f"{day}", f"c{day % 3}", today - day * DAY, "A", f"B{day % 2}") for day in range(9)]
    with closing(RedisStore(settings)) as store:
        store.apply(usual, clock_ms=1)
        before, histories = store.items().states, nextbasket(environment, "export", "histories")
        assert "Nothing is ahead" in nextbasket(environment, "now")
        wrong = [sold("future", "c1", today + YEARS, "A", "NEW"), sold("alone", "c9", today + YEARS, "A")]
        store.apply(wrong, clock_ms=2)
        assert store.now() == today + YEARS
        shown = run(environment, "now")
        assert shown.returncode == 1
        assert f"Now is {to_iso(today + YEARS)}" in shown.stdout
        assert "Ahead: 2 invoices and 2 items." in shown.stdout
        assert "future of customer c1" in shown.stdout
        assert store.now() == today + YEARS
        assert "2 invoices removed, 2 items counted again" in nextbasket(environment, "now", "--set-right")
        assert store.now() == today
        assert nextbasket(environment, "export", "histories") == histories
        assert store.history("c9") is None
        after = store.items().states
        for code, state in before.items():
            assert after[code].demand == pytest.approx(state.demand)
            assert after[code].shares == pytest.approx(state.shares)
            assert (after[code].as_of, after[code].last, after[code].sold) == (state.as_of, state.last, state.sold)
            assert (after[code].price, after[code].description) == (state.price, state.description)
        assert after["NEW"].sold == 0
        assert "Nothing is ahead" in nextbasket(environment, "now")
        store.apply([*usual, sold("next", "c1", today + 60, "A")], clock_ms=3)
        held = store.history("c1")
        assert held is not None
        assert [one.invoice_no for one in held.invoices] == ["7", "4", "1", "next"]
        assert store.now() == today + 60
