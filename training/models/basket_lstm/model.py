"""``basket_lstm`` as a model: examples along the walk, a network fitted on them, a calibration, and a bundle."""

import dataclasses
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from state.events.invoice import Invoice
from training import progress
from training.errors import TooLittleData, UnknownModel
from training.features.basket_lstm.candidates import I2I_CANDIDATE_INPUTS
from training.features.basket_lstm.customer_inputs import BASKET_INPUTS
from training.features.basket_lstm.customer_item_inputs import CUSTOMER_ITEM_INPUTS
from training.features.basket_lstm.retrieval import Retrieval
from training.features.basket_lstm.text_similarity import TEXT_INPUTS
from training.features.basket_lstm.view import BASELINE_INPUTS, CANDIDATE_INPUTS, STEP_INPUTS, View
from training.features.item_inputs import DEMAND_INPUTS
from training.models.base import Curves
from training.models.basket_lstm.checkpoint import Checkpoint, name_of
from training.models.basket_lstm.examples import Example, Sampling, fingerprint, sample
from training.models.basket_lstm.fitting import Recipe, Schedule, make_network
from training.models.basket_lstm.network import BasketNetwork
from training.models.basket_lstm.subprocess_fit import SubprocessFit
from training.models.calibration import logistic
from training.models.candidate_views.labelled_views import labelled_views, target_dates
from training.models.candidate_views.retrieval import fit_retrieval
from training.models.candidate_views.statistics_history import StatisticsHistory
from training.models.keras_weights import save_weights
from training.models.return_time.fitting import fit_returns, return_examples
from training.serving.basket_lstm.calibration import BasketCalibration, rank
from training.serving.basket_lstm.correction import RATE_SCALES, OnlineCorrection
from training.serving.basket_lstm.network import NumpyNetwork
from training.serving.basket_lstm.scorer import BasketScorer, candidate_codes, input_sizes, score_candidates
from training.serving.return_time.network import NumpyReturnNetwork

logger = logging.getLogger(__name__)

MIN_TARGETS = 30
"""Fewer invoices with an earlier one of the same customer teach nothing."""
MIN_EXAMPLES = 10
GROUPS: dict[str, dict[str, Sequence[str]]] = {
    "lstm": {"step": STEP_INPUTS, "basket": BASKET_INPUTS},
    "history": {"candidate": CUSTOMER_ITEM_INPUTS},
    "text": {"candidate": TEXT_INPUTS, "step": ("text_similarity_basket",)},
    "demand": {"candidate": DEMAND_INPUTS, "step": ("demand_in_week_of_basket",)},
    "related": {"candidate": I2I_CANDIDATE_INPUTS, "step": ("i2i_score_basket",)},
    "simple": {"candidate": BASELINE_INPUTS},
}
"""Inputs that can be left out together: all the LSTM reads, hand-made history, descriptions, demand and age of items,
item-to-item weights, the simple scores."""
CORRECTION = "correction"
"""What else can be left out: all that outcomes teach beside the network."""

VALIDATION_FRACTION = 0.1
"""The newest of what there is to learn from: picks the epoch, and tells what a score is worth as a probability."""
MAX_VALIDATION_CASES = 1_500
"""Moments, evenly spaced, of the span held out."""
REFIT_CORRECTION_SCALE = 0.5
"""Share of the correction that is kept where the network that serves has learnt from the newest examples itself."""
CALIBRATION_DEPTH = 20
"""Probabilities are fitted to the first items of each ranking: those are what is shown."""
MAX_EXAMPLES = 60_000
"""About 10 kB each in memory: of a longer log only the newest moments are learnt from."""


class FittedBasketLstm:
    """A trained network that can be evaluated, served and saved; a ``FittedOverTime``."""

    def __init__(
        self, scorer: BasketScorer, network: BasketNetwork, curves: Curves, statistics_history: StatisticsHistory
    ) -> None:
        self.scorer = scorer
        self.network = network
        self.curves = curves
        self._statistics_history = statistics_history

    @property
    def until(self) -> int:
        """End, not included, of the data that the model was fitted on, seconds since 1970."""
        return self._statistics_history.fitted_until

    def scorer_at(self, date: int) -> BasketScorer:
        """The scorer with the statistics of a date; before ``until`` without a correction: it has none yet then."""
        correction = self.scorer.correction if date >= self.until else OnlineCorrection(len(CANDIDATE_INPUTS))
        return dataclasses.replace(self.scorer, statistics=self._statistics_history.at(date), correction=correction)

    def extend(self, invoices: Sequence[Invoice], until: int) -> None:
        """Add what is dated before ``until`` to the log; see ``FittedOverTime``."""
        self._statistics_history.extend(invoices, until)

    def save(self, folder: Path) -> None:
        """Write everything a bundle needs but its manifest into an empty folder."""
        self.scorer.save(folder)
        save_weights(self.network, folder)


class BasketLstm:
    """The candidate-view LSTM of docs/models/basket_lstm.md, trained on both moments."""

    seeded = True

    def __init__(
        self,
        name: str = "basket_lstm",
        *,
        epochs: int = Schedule().epochs,
        max_examples: int = MAX_EXAMPLES,
        window: int = 100,
        whole: bool = True,
        without: str = "",
        keep: Path | None = None,
        tensorboard: Path | None = None,
    ) -> None:
        """Choose how long to train.

        Args:
            name: What the model is called.
            epochs: Passes over the examples.
            max_examples: Learn from the newest moments only, at most so many; each invoice gives two.
            window: Number of invoices that a history holds, as in the stream.
            whole: Fit once more, on the newest examples too, for as many epochs as were best without them. Takes twice
                the work; a second core does it at the same time.
            without: Leave inputs out, to see what they are worth: names of ``GROUPS`` with + between; ``correction``
                among them keeps the network as it was fitted, whatever comes.
            keep: Folder in which a training that is broken off is kept, and from which the next one goes on.
            tensorboard: Folder for the loss of every epoch.

        Raises:
            UnknownModel: ``without`` names nothing that can be left out.
        """
        self.name = name
        self._schedule = Schedule(epochs=epochs)
        self._max_examples = max_examples
        self._window = window
        self._whole = whole
        self._without = without
        self._left_out = left_out(without)
        self._rate_scales = (0.0,) if CORRECTION in without.split("+") else RATE_SCALES
        self._keep = keep
        self._tensorboard = tensorboard
        self._parts: list[Checkpoint] = []

    def fit(self, invoices: Sequence[Invoice], *, until: int, seed: int = 7) -> FittedBasketLstm:
        """Learn from what is dated before ``until``; see ``Model``.

        A first network, which has not seen the newest tenth of the examples, tells the number of epochs, and what a
        score is worth as a probability. The network that serves is fitted on all of them.
        """
        tf.config.experimental.enable_op_determinism()
        generator = np.random.default_rng(seed)
        # One thread for BLAS: its matrices are small here, and threads that wait for each other cost more than they do.
        with threadpool_limits(1):
            statistics_history = StatisticsHistory(invoices, until)
            most = max(self._max_examples // 2, 1)
            retrieval = fit_retrieval(invoices, statistics_history, until, self._window, generator, most)
            with progress.part(0, 400, of=1000):
                material = self._collect(invoices, until, statistics_history, retrieval, generator)
            with progress.part(400, 990, of=1000):
                learnt = self._learn(material, seed)
            keras.utils.set_random_seed(seed)
            seen = return_examples(invoices, until, self._window, self._max_examples)
            with progress.part(990, 1000, of=1000):
                returning = fit_returns(seen, until)
            statistics = statistics_history.at(until)
        scorer = BasketScorer(
            "unpublished",
            network=NumpyNetwork(learnt.network.arrays(), input_sizes()),
            correction=learnt.correction,
            statistics=statistics,
            calibration=learnt.calibration,
            return_time=NumpyReturnNetwork(returning.arrays()),
            retrieval=retrieval,
        )
        for part in self._parts:
            part.drop()
        progress.update(1000, 1000, "calibrated")
        return FittedBasketLstm(scorer, learnt.network, learnt.curves, statistics_history)

    def _learn(self, material: "_TrainingData", seed: int) -> "_FitResult":
        """The network that serves, and what is fitted to the outcomes of one that had not seen them."""
        learnt, held = material.learnt, material.held
        choosing = self._recipe(self._schedule, seed, learnt, held)
        if not (self._whole and held):
            network, curves = make_network(choosing, learnt, held)
            return _FitResult(network, curves, *self._calibrate(network, material))
        both = learnt + held
        # Begun before the first has told the number of epochs: seldom fewer than all of them are best.
        whole = self._recipe(self._schedule, seed, both, [])
        with SubprocessFit(whole, both) as beside:
            turn = 850 if beside.begun else 500
            with progress.part(0, turn, of=1000):
                network, curves = make_network(choosing, learnt, held)
            calibration, correction = self._calibrate(network, material)
            best = 1 + int(np.argmin(curves["held out"]))
            if best < self._schedule.epochs:
                whole = self._recipe(self._schedule._replace(epochs=best), seed, both, [])
            with progress.part(turn, 1000, of=1000):
                network = beside.network(whole)
        return _FitResult(network, curves, calibration, correction.scaled(REFIT_CORRECTION_SCALE))

    def _calibrate(
        self, network: BasketNetwork, material: "_TrainingData"
    ) -> tuple[BasketCalibration, OnlineCorrection]:
        return calibrate_on_validation(
            NumpyNetwork(network.arrays(), input_sizes()), material.judged, rate_scales=self._rate_scales
        )

    def _recipe(self, schedule: Schedule, seed: int, learnt: Sequence[Example], held: Sequence[Example]) -> Recipe:
        kept = board = ""
        if self._keep is not None:
            content = fingerprint([*learnt, *held])
            what = (*CANDIDATE_INPUTS, self._without, schedule, seed, len(learnt), content)
            kept = str(self._keep / name_of(what))
            self._parts.append(Checkpoint(Path(kept)))
        if self._tensorboard is not None:
            # Fewer epochs are another curve: all of them may have been begun with already.
            whole = "whole" if schedule == self._schedule else f"whole_{schedule.epochs}"
            board = str(self._tensorboard / ("choosing" if held else whole))
        return Recipe(schedule, seed, self._left_out, kept, board)

    def _collect(
        self,
        invoices: Sequence[Invoice],
        until: int,
        statistics_history: StatisticsHistory,
        retrieval: Retrieval,
        generator: np.random.Generator,
    ) -> "_TrainingData":
        dates = target_dates(invoices, until)[-max(self._max_examples // 2, 1) :]
        if len(dates) < MIN_TARGETS:
            raise TooLittleData(
                f"Only {len(dates)} invoices have an earlier one of the same customer; at least {MIN_TARGETS} are "
                f"needed to train {self.name}. Give it a longer history."
            )
        cut = dates[int(len(dates) * (1 - VALIDATION_FRACTION))]
        spacing = -(-2 * sum(date >= cut for date in dates) // MAX_VALIDATION_CASES)
        learnt: list[Example] = []
        held: list[Example] = []
        judged: list[ValidationCase] = []
        seen = labelled_views(invoices, statistics_history, dates[0], until, self._window, retrieval)
        for number, (date, view, bought, items) in enumerate(seen):
            example = sample(view, bought, Sampling(), generator)
            if example is not None:
                (held if date >= cut else learnt).append(example)
            if date >= cut and number % spacing == 0 and view.length[0]:
                judged.append(ValidationCase(date, view, candidate_codes(view, items), bought))
            progress.update(number + 1, 2 * len(dates), "reading histories")
        if len(learnt) < MIN_EXAMPLES:
            raise TooLittleData(
                f"Only {len(learnt)} of {len(dates)} invoices hold an item that could have been foreseen; at least "
                f"{MIN_EXAMPLES} are needed to train {self.name}. Give it a longer history."
            )
        return _TrainingData(learnt, held, judged)


class ValidationCase(NamedTuple):
    """The whole view of one customer, its candidates' codes and whether they were bought; ``date`` of the target."""

    date: int
    view: View
    codes: list[str]
    bought: NDArray[np.bool_]


class _TrainingData(NamedTuple):
    """Examples to learn from, newer ones held out, and some of those as they are judged."""

    learnt: list[Example]
    held: list[Example]
    judged: list[ValidationCase]


class _FitResult(NamedTuple):
    """The network that serves, the losses of the one that chose for it, and what that one's outcomes taught."""

    network: BasketNetwork
    curves: Curves
    calibration: BasketCalibration
    correction: OnlineCorrection


def left_out(without: str) -> dict[str, list[int]]:
    """Columns of each group of inputs that ``lstm+text``, say, leaves out.

    Raises:
        UnknownModel: There is no such group.
    """
    columns: dict[str, list[int]] = {}
    names = {"candidate": CANDIDATE_INPUTS, "step": STEP_INPUTS, "basket": BASKET_INPUTS}
    for group in without.split("+") if without else []:
        if group == CORRECTION:
            continue
        if group not in GROUPS:
            raise UnknownModel(
                f"There is nothing called {group!r} to leave out. Choose from: {', '.join((*GROUPS, CORRECTION))}."
            )
        for kind, inputs in GROUPS[group].items():
            columns.setdefault(kind, []).extend(names[kind].index(each) for each in inputs)
    return columns


def calibrate_on_validation(
    network: NumpyNetwork, judged: Sequence[ValidationCase], *, rate_scales: Sequence[float] = RATE_SCALES
) -> tuple[BasketCalibration, OnlineCorrection]:
    """What outcomes say of a network that did not learn from them, one after the other as they came.

    The correction is that of the pace whose lists, each made before its outcome was known, had the least loss: the
    first of ``rate_scales`` where there is nothing to tell by.

    The calibration is Platt's scaling by what was bought, on the first items of each ranking, corrected by what had
    come before; without outcomes of both kinds a default. Source: Platt, "Probabilistic outputs for support vector
    machines", 1999.
    """
    tried = [OnlineCorrection(len(CANDIDATE_INPUTS), rate_scale=rate_scale) for rate_scale in rate_scales]
    losses = np.zeros(len(tried))
    inputs: list[list[NDArray[np.float64]]] = [[] for _ in tried]
    came = [[np.zeros(0)] for _ in tried]
    for _, view, codes, bought in sorted(judged, key=lambda each: each.date):
        (said,) = score_candidates(view, codes, network)
        for place, correction in enumerate(tried):
            best = rank(view, correction.apply(said))[0]
            inputs[place].append(BasketCalibration.inputs(best, view.customer_inputs[0])[:CALIBRATION_DEPTH])
            came[place].append(bought[best.position[:CALIBRATION_DEPTH]].astype(np.float64))
            tried[place], loss = correction.updated(said, bought)
            losses[place] += loss
    least = int(np.argmin(losses))
    correction = tried[least]
    seen = max(sum(bool(each.bought.any()) for each in judged), 1)
    of_each = ", ".join(f"{scale:g} {loss / seen:.4f}" for scale, loss in zip(rate_scales, losses, strict=True))
    logger.info(
        "outcomes correct the network at %g of the full pace; mean loss by pace: %s", correction.rate_scale, of_each
    )
    outcome = np.concatenate(came[least])
    if not outcome.any() or outcome.all():
        return BasketCalibration(), correction
    weights = logistic(np.concatenate(inputs[least]), outcome)
    if weights[1] <= 1e-3:
        logger.warning("the network's scores say nothing of the newest purchases; probabilities are rough")
        return BasketCalibration(), correction
    return BasketCalibration(*weights), correction
