"""Baselines as models: a calibration, a return curve, and for some of them weights or vectors are fitted.

EASE fits item-to-item weights, TIFU-KNN and UP-CF the vectors of all customers.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from state.events.dates import DAY
from state.events.invoice import Invoice
from training import progress
from training.data.purchases import purchases_of
from training.data.walk import StateReplay, customer_purchase_dates
from training.errors import TooLittleData, UnknownModel
from training.features.item_to_item import MAX_BASKET
from training.models.calibration import fit_calibrations
from training.models.item_to_item import EXACT_ITEMS, Baskets, basket_matrix, fit_ease, fit_neighbours
from training.serving.baselines.ease import EaseWeights
from training.serving.baselines.formulas import FORMULAS
from training.serving.baselines.neighbours import CustomerNeighbourhood, Method, TifuKnn, UpCf
from training.serving.baselines.scorer import BaselineScorer, FittedScores, PlattCalibration
from training.serving.return_time.gap_shares import GapShareCurves, gaps

logger = logging.getLogger(__name__)

RIDGE = 300.0
"""EASE's λ, as on docs/models/baselines.md."""
NEIGHBOURS = 600
"""Weights of an item that are stored of a catalogue larger than ``EXACT_ITEMS``; of a smaller one, all. Fewer cost
accuracy (docs/research/log.md, "Large catalogues")."""
MAX_WEIGHTS = 60_000_000
"""Of more than 100,000 items fewer weights each are stored, so that all take at most so many: 480 MB."""
MIN_NEIGHBOURS = 100

CALIBRATION_DAYS = 28
"""Probabilities are fitted to what happened in the last days before the end of the data."""
EASE = frozenset({"ease", "ease_count_demand"})
METHODS: dict[str, Method] = {"tifu_knn": TifuKnn(), "up_cf": UpCf()}
"""The neighbourhood models with their default settings."""


class FittedBaseline:
    """A baseline that can be evaluated, served and saved; ``window`` is the number of invoices of its histories."""

    def __init__(self, scorer: BaselineScorer, window: int) -> None:
        self.scorer = scorer
        self.window = window

    def save(self, folder: Path) -> None:
        """Write everything a bundle needs but its manifest into an empty folder."""
        self.scorer.save(folder)


class Baseline:
    """One of the simple models of ``training.serving.baselines.formulas``; it needs no seed."""

    seeded = False

    def __init__(self, name: str, *, window: int = 100, calibrate: bool = True) -> None:
        """Choose a baseline.

        Args:
            name: Which formula.
            window: Number of invoices that a history holds, as in the stream.
            calibrate: Whether probabilities are fitted; without it they are those of an unknown shop, and the fit is
                quicker by one walk over the log.

        Raises:
            UnknownModel: No baseline is called that.
        """
        if name not in FORMULAS:
            raise UnknownModel(f"There is no baseline {name!r}; there are {', '.join(FORMULAS)}.")
        self.name = name
        self._window = window
        self._calibrate = calibrate
        self._method = METHODS.get(name)

    def fit(self, invoices: Sequence[Invoice], *, until: int, seed: int = 0) -> FittedBaseline:
        """Learn from what is dated before ``until``; ``seed`` changes nothing. See ``Model``."""
        methods = {} if self._method is None else {self.name: self._method}
        fitted = fit_all(
            [self.name], invoices, until=until, window=self._window, calibrate=self._calibrate, methods=methods
        )
        progress.update(1, 1, self.name)
        return fitted[self.name]


class TifuKnnBaseline(Baseline):
    """TIFU-KNN with settings; see ``training.serving.baselines.neighbours``."""

    def __init__(
        self,
        name: str = "tifu_knn",
        *,
        neighbours: int = TifuKnn().neighbours,
        groups: int = TifuKnn().groups,
        within_decay: float = TifuKnn().within_decay,
        group_decay: float = TifuKnn().group_decay,
        own_share: float = TifuKnn().own_share,
        window: int = 100,
        calibrate: bool = True,
    ) -> None:
        """Choose the settings; ``window`` and ``calibrate`` as for every baseline.

        Raises:
            UnknownModel: The settings are out of range.
        """
        super().__init__(name, window=window, calibrate=calibrate)
        self._method = _checked(lambda: TifuKnn(neighbours, groups, within_decay, group_decay, own_share))


class UpCfBaseline(Baseline):
    """UP-CF with settings; see ``training.serving.baselines.neighbours``."""

    def __init__(
        self,
        name: str = "up_cf",
        *,
        newest: int = UpCf().newest,
        asymmetry: float = UpCf().asymmetry,
        locality: float = UpCf().locality,
        neighbours: int = UpCf().neighbours,
        window: int = 100,
        calibrate: bool = True,
    ) -> None:
        """Choose the settings; ``window`` and ``calibrate`` as for every baseline.

        Raises:
            UnknownModel: The settings are out of range.
        """
        super().__init__(name, window=window, calibrate=calibrate)
        self._method = _checked(lambda: UpCf(newest, asymmetry, locality, neighbours))


def _checked(make: Callable[[], Method]) -> Method:
    try:
        return make()
    except ValueError as error:
        raise UnknownModel(str(error)) from None


def fit_all(
    names: Sequence[str],
    invoices: Sequence[Invoice],
    *,
    until: int,
    window: int = 100,
    calibrate: bool = True,
    methods: Mapping[str, Method] = METHODS,
) -> dict[str, FittedBaseline]:
    """Fit several baselines at little more than the cost of one: they share walk, weights of EASE and curves.

    Args:
        names: Which.
        invoices: The log, sorted by (date, invoice number).
        until: First second that must stay unknown.
        window: Number of invoices that a history holds, as in the stream.
        calibrate: Whether probabilities are fitted.
        methods: Settings of the neighbourhood models among them, by name.

    Raises:
        TooLittleData: Nothing was bought before ``until``.
    """
    first = next((date for _, date in customer_purchase_dates(invoices)), until)
    if first >= until:
        raise TooLittleData("Nothing was bought before the given date: there is nothing to learn from.")
    start = until - CALIBRATION_DAYS * DAY
    calibrations: dict[str, PlattCalibration | None] = dict.fromkeys(names)
    if calibrate:
        # Calibrated on data that its weights were not fitted on.
        earlier = _fit_scores(names, invoices, start, window, methods)
        scorers = {name: BaselineScorer(name, "unpublished", fitted=earlier.get(name)) for name in names}
        calibrations = fit_calibrations(scorers, invoices, start, until, window)
    fitted_scores = _fit_scores(names, invoices, until, window, methods)
    return_time = GapShareCurves.fit(gaps(customer_purchase_dates(invoices), until))

    def scorer(name: str) -> BaselineScorer:
        calibration = calibrations[name]
        return BaselineScorer(
            name, "unpublished", calibration=calibration, return_time=return_time, fitted=fitted_scores.get(name)
        )

    return {name: FittedBaseline(scorer(name), window) for name in names}


def _fit_scores(
    names: Sequence[str], invoices: Sequence[Invoice], until: int, window: int, methods: Mapping[str, Method]
) -> dict[str, FittedScores]:
    """The fitted weights or vectors of those models that have any, on what is dated before ``until``."""
    found: dict[str, FittedScores] = {}
    if any(name in EASE for name in names):
        weights = fit_item_to_item(invoices, until)
        found.update((name, weights) for name in names if name in EASE)
    if any(name in METHODS for name in names):
        replay = StateReplay(window)
        for invoice in invoices:
            if invoice.date >= until:
                break
            replay.apply(invoice)
        found.update(
            (name, CustomerNeighbourhood.fit(methods[name], replay.histories.values(), replay.items))
            for name in names
            if name in METHODS
        )
    return found


def fit_item_to_item(invoices: Sequence[Invoice], until: int) -> EaseWeights:
    """EASE over the baskets dated before ``until``."""
    log = purchases_of(invoices)
    log = log.before(log.first_at(until))
    number_of = {code: number for number, code in enumerate(log.codes[: log.n_items])}
    sold = np.bincount(log.item, minlength=len(number_of))
    codes = sorted(number_of, key=lambda code: (-sold[number_of[code]], code))
    index_of = np.empty(len(number_of), np.int64)
    index_of[[number_of[code] for code in codes]] = np.arange(len(codes))
    rows = basket_matrix(Baskets(log.item, log.sizes[log.invoice]).first(MAX_BASKET), index_of, len(codes))
    if len(codes) <= EXACT_ITEMS:
        return EaseWeights(codes, fit_ease(rows, None, RIDGE))
    n = min(NEIGHBOURS, max(MAX_WEIGHTS // len(codes), MIN_NEIGHBOURS))
    return EaseWeights(codes, fit_neighbours(rows, None, RIDGE, n))
