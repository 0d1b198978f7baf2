"""``basket_lstm`` as a model: examples along the walk, a network fitted on them, a calibration, and a bundle."""

import copy
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Self

import keras
import numpy as np
import tensorflow as tf
from threadpoolctl import threadpool_limits

from state.events.invoice import Invoice
from training import progress
from training.errors import TooLittleData
from training.features.basket_lstm.retrieval import Retrieval
from training.features.basket_lstm.view import CANDIDATE_INPUTS
from training.models.base import Curves
from training.models.basket_lstm.calibration import ValidationCase, ValidationFit, calibrate_on_validation
from training.models.basket_lstm.examples import Example, Sampling, fingerprint, sample
from training.models.basket_lstm.fitting import SCHEDULE, BuildNetwork, FitConfig, make_network
from training.models.basket_lstm.network import BasketNetwork
from training.models.basket_lstm.subprocess_fit import SubprocessFit
from training.models.candidate_views.labelled_views import labelled_views, target_dates
from training.models.candidate_views.retrieval import fit_retrieval
from training.models.candidate_views.statistics_history import StatisticsHistory
from training.models.checkpoint import Checkpoint, checkpoint_name
from training.models.keras_weights import save_weights
from training.models.online_correction import RATE_SCALES, scaled
from training.models.return_time.fitting import fit_returns, return_examples
from training.models.training_loop import VALIDATION, Schedule
from training.serving.basket_lstm.correction import Correction
from training.serving.basket_lstm.network import NumpyNetwork
from training.serving.basket_lstm.scorer import BasketScorer, input_sizes
from training.serving.return_time.network import NumpyReturnNetwork

MIN_TARGETS = 30
"""Invoices with an earlier one of the same customer; fewer are too few to learn from."""
MIN_EXAMPLES = 10
VALIDATION_FRACTION = 0.1
"""The newest examples select the number of epochs and fit the calibration."""
MAX_VALIDATION_CASES = 1_500
"""Views of the validation set, evenly spaced, that the calibration is fitted to."""
REFIT_CORRECTION_SCALE = 0.5
"""The correction is scaled by this where the network that serves was trained on the validation set too."""
MAX_EXAMPLES = 60_000
"""About 10 kB each in memory: of a longer log only the newest are used."""


class FittedBasketLstm:
    """A trained network that can be evaluated, served and saved; a ``FittedOverTime``."""

    def __init__(
        self,
        scorer: BasketScorer,
        network: BasketNetwork,
        curves: Curves,
        statistics_history: StatisticsHistory,
        correction_rate_scale: float,
    ) -> None:
        self.scorer = scorer
        self.correction_rate_scale = correction_rate_scale
        self.network = network
        self.curves = curves
        self._statistics_history = statistics_history

    @property
    def until(self) -> int:
        """End, not included, of the data that the model was fitted on, seconds since 1970."""
        return self._statistics_history.fitted_until

    def scorer_at(self, date: int) -> BasketScorer:
        """The scorer with the statistics of a date; before ``until`` without a correction: it has none yet then."""
        correction = self.scorer.correction if date >= self.until else Correction(len(CANDIDATE_INPUTS))
        return dataclasses.replace(self.scorer, statistics=self._statistics_history.at(date), correction=correction)

    def copy(self) -> Self:
        """The same model with a log of its own; see ``FittedOverTime``."""
        found = copy.copy(self)
        found._statistics_history = self._statistics_history.copy()
        return found

    def extend(self, invoices: Sequence[Invoice], until: int) -> None:
        """Add what is dated before ``until`` to the log; see ``FittedOverTime``."""
        self._statistics_history.extend(invoices, until)

    def save(self, folder: Path) -> None:
        """Write everything a bundle needs but its manifest into an empty folder."""
        self.scorer.save(folder)
        save_weights(self.network, folder)


class BasketLstm:
    """The candidate-view LSTM of docs/models/basket_lstm.md, trained on both moments.

    Attributes:
        build_network: Builds the network for inputs of given widths.
        rate_scales: Learning-rate scales of the online correction, of which the validation set selects one.
    """

    seeded = True

    def __init__(
        self,
        name: str = "basket_lstm",
        *,
        epochs: int = SCHEDULE.epochs,
        max_examples: int = MAX_EXAMPLES,
        window: int = 100,
        whole: bool = True,
        keep: Path | None = None,
        tensorboard: Path | None = None,
    ) -> None:
        """Choose how to train.

        Args:
            name: What the model is called.
            epochs: Passes over the examples.
            max_examples: Learn from the newest examples, this many at most; each invoice gives two.
            window: Number of invoices that a history holds, as in the stream.
            whole: Fit once more, with the validation set, for as many epochs as were best without it. Twice the work;
                it runs in parallel where a second core is available.
            keep: Folder of the checkpoints, from which an interrupted training resumes.
            tensorboard: Folder for the loss of every epoch.
        """
        self.name = name
        self._schedule = SCHEDULE._replace(epochs=epochs)
        self._max_examples = max_examples
        self._window = window
        self._whole = whole
        self._keep = keep
        self._tensorboard = tensorboard
        self._checkpoints: list[Checkpoint] = []
        self.build_network: BuildNetwork = BasketNetwork
        self.rate_scales: Sequence[float] = RATE_SCALES

    def fit(self, invoices: Sequence[Invoice], *, until: int, seed: int = 7) -> FittedBasketLstm:
        """Learn from what is dated before ``until``; see ``Model``.

        A selection network, trained without the newest tenth of the examples, selects the number of epochs and fits the
        calibration. The network that serves is trained on all of them.
        """
        tf.config.experimental.enable_op_determinism()
        generator = np.random.default_rng(seed)
        # One thread for BLAS: its matrices are small here, and threads that wait for each other cost more than they do.
        with threadpool_limits(1):
            statistics_history = StatisticsHistory(invoices, until)
            max_targets = max(self._max_examples // 2, 1)
            retrieval = fit_retrieval(invoices, statistics_history, until, self._window, generator, max_targets)
            with progress.part(0, 400, of=1000):
                data = self._collect(invoices, until, statistics_history, retrieval, generator)
            with progress.part(400, 990, of=1000):
                result = self._fit_networks(data, seed)
            keras.utils.set_random_seed(seed)
            examples = return_examples(invoices, until, self._window, self._max_examples)
            with progress.part(990, 1000, of=1000):
                returning = fit_returns(examples, until)
            statistics = statistics_history.at(until)
        scorer = BasketScorer(
            "unpublished",
            network=NumpyNetwork(result.network.arrays(), input_sizes()),
            correction=result.on_validation.correction,
            statistics=statistics,
            calibration=result.on_validation.calibration,
            return_time=NumpyReturnNetwork(returning.arrays()),
            retrieval=retrieval,
        )
        for checkpoint in self._checkpoints:
            checkpoint.delete()
        progress.update(1000, 1000, "calibrated")
        return FittedBasketLstm(
            scorer, result.network, result.curves, statistics_history, result.on_validation.rate_scale
        )

    def _fit_networks(self, data: "_TrainingData", seed: int) -> "_FitResult":
        """The network that serves, and what was fitted to the outcomes of one that was not trained on them."""
        training_set, validation_set = data.training_set, data.validation_set
        selection = self._config(self._schedule, seed, training_set, validation_set)
        if not (self._whole and validation_set):
            network, curves = make_network(selection, training_set, validation_set)
            return _FitResult(network, curves, self._calibrate(network, data))
        all_examples = training_set + validation_set
        # Started before the number of epochs is selected: in most trainings all of them are best.
        final = self._config(self._schedule, seed, all_examples, [])
        with SubprocessFit(final, all_examples) as other:
            turn = 850 if other.is_running else 500
            with progress.part(0, turn, of=1000):
                network, curves = make_network(selection, training_set, validation_set)
            on_validation = self._calibrate(network, data)
            best = 1 + int(np.argmin(curves[VALIDATION]))
            if best < self._schedule.epochs:
                final = self._config(self._schedule._replace(epochs=best), seed, all_examples, [])
            with progress.part(turn, 1000, of=1000):
                network = other.network(final)
        correction = scaled(on_validation.correction, REFIT_CORRECTION_SCALE)
        return _FitResult(network, curves, on_validation._replace(correction=correction))

    def _calibrate(self, network: BasketNetwork, data: "_TrainingData") -> ValidationFit:
        numpy_network = NumpyNetwork(network.arrays(), input_sizes())
        return calibrate_on_validation(numpy_network, data.validation_cases, rate_scales=self.rate_scales)

    def _config(
        self, schedule: Schedule, seed: int, training_set: Sequence[Example], validation_set: Sequence[Example]
    ) -> FitConfig:
        path = folder = None
        if self._keep is not None:
            content = fingerprint([*training_set, *validation_set])
            path = self._keep / checkpoint_name(
                (*CANDIDATE_INPUTS, self.build_network, schedule, seed, len(training_set), content)
            )
            self._checkpoints.append(Checkpoint(path))
        if self._tensorboard is not None:
            # Fewer epochs are another curve: one of all epochs may have been started already.
            whole = "whole" if schedule == self._schedule else f"whole_{schedule.epochs}"
            folder = self._tensorboard / ("selection" if validation_set else whole)
        return FitConfig(schedule, seed, self.build_network, path, folder)

    def _collect(
        self,
        invoices: Sequence[Invoice],
        until: int,
        statistics_history: StatisticsHistory,
        retrieval: Retrieval,
        generator: np.random.Generator,
    ) -> "_TrainingData":
        dates = target_dates(invoices, until, max(self._max_examples // 2, 1))
        if len(dates) < MIN_TARGETS:
            raise TooLittleData(
                f"Only {len(dates)} invoices have an earlier one of the same customer; at least {MIN_TARGETS} are "
                f"needed to train {self.name}. Give it a longer history."
            )
        cut = dates[int(len(dates) * (1 - VALIDATION_FRACTION))]
        spacing = -(-2 * sum(date >= cut for date in dates) // MAX_VALIDATION_CASES)
        data = _TrainingData([], [], [])
        views = labelled_views(invoices, statistics_history, dates[0], until, self._window, retrieval)
        for number, (date, view, bought, codes) in enumerate(views):
            example = sample(view, bought, Sampling(), generator)
            if example is not None:
                (data.validation_set if date >= cut else data.training_set).append(example)
            if date >= cut and number % spacing == 0 and view.length[0]:
                data.validation_cases.append(ValidationCase(date, view, codes, bought))
            progress.update(number + 1, 2 * len(dates), "reading histories")
        if len(data.training_set) < MIN_EXAMPLES:
            raise TooLittleData(
                f"Only {len(data.training_set)} of {len(dates)} invoices hold an item that could have been foreseen; "
                f"at least {MIN_EXAMPLES} are needed to train {self.name}. Give it a longer history."
            )
        return data


class _TrainingData(NamedTuple):
    """Examples to train on, newer ones for validation, and views of some of the latter for the calibration."""

    training_set: list[Example]
    validation_set: list[Example]
    validation_cases: list[ValidationCase]


class _FitResult(NamedTuple):
    """The network that serves; of the selection network the loss curves, the calibration and the correction."""

    network: BasketNetwork
    curves: Curves
    on_validation: ValidationFit
