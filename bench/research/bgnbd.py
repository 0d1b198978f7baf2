"""BG/NBD, the classic model of repeat purchases, for comparison with the return-time network.

Fader, Hardie and Lee, "“Counting your customers” the easy way: an alternative to the Pareto/NBD model", Marketing
Science 24 (2005). While active a customer buys at a constant rate λ ~ Gamma(r, α); after each repeat purchase the
customer becomes inactive with chance p ~ Beta(a, b).
"""

from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import betaln, gammaln

Floats = NDArray[np.float64]

_MAX_LOG = 10.0
"""Bound of the logarithms of the parameters."""


class Customers(NamedTuple):
    """What the model knows of customers, each ``[n]``.

    ``repeats``: purchases after the first · ``newest``: days from the first to the last of them · ``observed``: days
    from the first until now.
    """

    repeats: Floats
    newest: Floats
    observed: Floats


class BgNbd(NamedTuple):
    """The four parameters; time in days."""

    r: float
    alpha: float
    a: float
    b: float

    @classmethod
    def fit(cls, customers: Customers) -> Self:
        """The parameters of the greatest likelihood, over their logs, from r = a = b = 1 and α = 30 days."""

        def loss(logs: Floats) -> float:
            return -float(cls(*np.exp(logs)).log_likelihood(customers).mean())

        start = np.log([1.0, 30.0, 1.0, 1.0])
        found = minimize(loss, start, method="L-BFGS-B", bounds=[(-_MAX_LOG, _MAX_LOG)] * len(start))
        return cls(*(float(value) for value in np.exp(found.x)))

    def log_likelihood(self, customers: Customers) -> Floats:
        """Log of the likelihood of each customer's x purchases, the last at t of T days ``[n]`` (their equation 6).

        L = B(a, b + x) / B(a, b) · Γ(r + x) αʳ / (Γ(r) (α + T)^(r + x))
        + [x > 0] B(a + 1, b + x − 1) / B(a, b) · Γ(r + x) αʳ / (Γ(r) (α + t)^(r + x)).
        """
        r, alpha, a, b = self
        x, newest, observed = customers
        both = gammaln(r + x) - gammaln(r) + r * np.log(alpha) - betaln(a, b)
        active = betaln(a, b + x) - (r + x) * np.log(alpha + observed)
        left = betaln(a + 1.0, b + np.maximum(x, 1.0) - 1.0) - (r + x) * np.log(alpha + newest)
        found: Floats = both + np.where(x > 0, np.logaddexp(active, left), active)
        return found

    def chances(self, customers: Customers, days: Floats) -> Floats:
        """The chance of a purchase within each of some days from now ``[n, days]``.

        P(active) (1 − ((α + T) / (α + T + days))^(r + x)): who is active buys at a rate ~ Gamma(r + x, α + T), and
        P(active) = 1 / (1 + [x > 0] a / (b + x − 1) ((α + T) / (α + t))^(r + x)) (the authors' note "Computing P(alive)
        using the BG/NBD model", 2008).
        """
        r, alpha, a, b = self
        x, newest, observed = (each[:, None] for each in customers)
        odds = np.where(x > 0, a / (b + np.maximum(x, 1.0) - 1.0), 0.0)
        active = 1.0 / (1.0 + odds * ((alpha + observed) / (alpha + newest)) ** (r + x))
        found: Floats = active * -np.expm1(-(r + x) * np.log1p(days / (alpha + observed)))
        return found
