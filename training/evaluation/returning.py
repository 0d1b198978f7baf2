"""How well the chance of a return is foreseen: Brier score by horizon, at the emission."""

from collections.abc import Sequence

import numpy as np

from state.dates import DAY
from state.invoice import Invoice
from training.data.walk import is_purchase
from training.evaluation.split import Span
from training.serving.returns import Returns, gaps
from training.serving.scorer import HORIZONS


def brier(log: Sequence[Invoice], judged: Span) -> dict[int, float]:
    """Mean squared distance between the chance given and what happened, by horizon in days.

    Σ (p − y)² / n over the purchase invoices of the span, with y whether the customer bought again within the horizon;
    only where the horizon had passed by the end of the log. Source: Brier, "Verification of forecasts expressed in
    terms of probability", 1950. Curves are fitted on what was known when the span began.

    Args:
        log: Sorted by date.
        judged: The span of the emissions.

    Returns:
        NaN for a horizon that had passed for none.
    """
    bought = [(i.customer_id, i.date) for i in log if i.customer_id is not None and is_purchase(i)]
    returns = Returns.fit(gaps(bought, judged.start))
    end = bought[-1][1] if bought else judged.start
    dates: dict[str, list[int]] = {}
    for customer, date in bought:
        dates.setdefault(customer, []).append(date)
    off: dict[int, list[float]] = {horizon: [] for horizon in HORIZONS}
    for own in dates.values():
        for place, date in enumerate(own):
            if not judged.start <= date < judged.end:
                continue
            curve = returns.curve(own[: place + 1], date)
            following = own[place + 1] - date if place + 1 < len(own) else None
            for horizon, chance in zip(HORIZONS, curve, strict=True):
                if end - date >= horizon * DAY:
                    came = following is not None and following <= horizon * DAY
                    off[horizon].append((chance - came) ** 2)
    return {horizon: float(np.mean(values)) if values else float("nan") for horizon, values in off.items()}
