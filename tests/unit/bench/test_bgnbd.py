"""BG/NBD against a likelihood worked by hand and a shop that was drawn from the model."""

import numpy as np
import pytest

from bench.research.bgnbd import BgNbd, Customers


def customers(*rows: tuple[float, float, float]) -> Customers:
    return Customers(*np.asarray(rows, np.float64).T)


def test_the_likelihood_by_hand() -> None:
    """With all parameters 1: 1 / (1 + T) without a repeat; with x = 1 at t = 1 of T = 2, 1/2 · 1/9 + 1/2 · 1/4."""
    found = np.exp(BgNbd(1.0, 1.0, 1.0, 1.0).log_likelihood(customers((0, 0, 1), (1, 1, 2))))
    assert found == pytest.approx([1 / 2, 13 / 72])


def test_the_likelihood_of_other_parameters_by_hand() -> None:
    """With r = 2, α = 3, a = 1, b = 2, x = 2, t = 1, T = 2: 1/2 · 54 / 5⁴ + 1/6 · 54 / 4⁴.

    B(1, 4) / B(1, 2) = 1/2, B(2, 3) / B(1, 2) = 1/6, and Γ(4) 3² / Γ(2) = 54.
    """
    found = np.exp(BgNbd(2.0, 3.0, 1.0, 2.0).log_likelihood(customers((2, 1, 2))))
    assert found == pytest.approx([0.5 * 54 / 625 + 54 / 256 / 6])


def test_the_chance_of_a_purchase_by_hand() -> None:
    """With all parameters 1, after a repeat just now half are still there; α + T = 3 and r + x = 2."""
    found = BgNbd(1.0, 1.0, 1.0, 1.0).chances(customers((1, 2, 2), (0, 0, 0)), np.asarray([3.0, 6.0]))
    assert found[0] == pytest.approx([0.5 * (1 - 0.25), 0.5 * (1 - 1 / 9)])
    assert found[1] == pytest.approx([1 - 1 / 4, 1 - 1 / 7])


def test_it_finds_the_parameters_of_a_drawn_shop() -> None:
    generator = np.random.default_rng(1)
    truth = BgNbd(1.2, 20.0, 0.8, 2.5)
    rows = []
    for _ in range(4_000):
        rate, leaves = generator.gamma(truth.r, 1 / truth.alpha), generator.beta(truth.a, truth.b)
        observed = generator.uniform(100, 300)
        repeats, newest, now = 0, 0.0, generator.exponential(1 / rate)
        while now < observed:
            repeats, newest = repeats + 1, now
            if generator.random() < leaves:
                break
            now += generator.exponential(1 / rate)
        rows.append((float(repeats), newest, observed))
    drawn = customers(*rows)
    found = BgNbd.fit(drawn)
    assert found.log_likelihood(drawn).sum() >= truth.log_likelihood(drawn).sum()
    assert found.r / found.alpha == pytest.approx(truth.r / truth.alpha, rel=0.1)
    assert found.a / (found.a + found.b) == pytest.approx(truth.a / (truth.a + truth.b), rel=0.1)
