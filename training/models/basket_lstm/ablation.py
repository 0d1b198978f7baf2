"""Ablations of ``basket_lstm``: the same model without groups of inputs, or without the online correction.

``basket_lstm:without=lstm+text`` on the command line; ``training.evaluation.variants`` applies it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.errors import UnknownModel
from training.features.basket_lstm.customer_inputs import BASKET_INPUTS
from training.features.basket_lstm.customer_item_inputs import CUSTOMER_ITEM_INPUTS
from training.features.basket_lstm.i2i_scores import I2I_CANDIDATE_INPUTS
from training.features.basket_lstm.text_similarity import TEXT_INPUTS
from training.features.basket_lstm.view import BASELINE_INPUTS, CANDIDATE_INPUTS, STEP_INPUTS
from training.features.item_inputs import DEMAND_INPUTS
from training.models.basket_lstm.model import BasketLstm
from training.models.basket_lstm.network import BasketNetwork

GROUPS: dict[str, dict[str, Sequence[str]]] = {
    "lstm": {"step": STEP_INPUTS, "basket": BASKET_INPUTS},
    "history": {"candidate": CUSTOMER_ITEM_INPUTS},
    "text": {"candidate": TEXT_INPUTS, "step": ("text_similarity_basket",)},
    "demand": {"candidate": DEMAND_INPUTS, "step": ("demand_in_week_of_basket",)},
    "related": {"candidate": I2I_CANDIDATE_INPUTS, "step": ("i2i_score_basket",)},
    "simple": {"candidate": BASELINE_INPUTS},
}
"""Inputs that are left out together: all that the LSTM reads, hand-made history, descriptions, demand and age of items,
item-to-item scores, the simple scores."""
CORRECTION = "correction"
"""What else can be left out: the online correction."""

IGNORED_DEVIATION = 1e12
"""The deviation that makes every value of an input 0, but for digits that a sum loses."""


class AblatedNetwork(BasketNetwork):
    """A network that ignores some columns of its inputs, by group."""

    def __init__(self, sizes: Mapping[str, int], ignored: Mapping[str, Sequence[int]]) -> None:
        super().__init__(sizes)
        self._ignored = {group: list(columns) for group, columns in ignored.items()}

    def standardise(self, **values: NDArray[np.floating]) -> None:
        """Fit the scales, and make the ignored columns 0 whatever they hold."""
        super().standardise(**values)
        for group, columns in self._ignored.items():
            scale = self.scales[group]
            mean, deviation = scale.mean.numpy(), scale.deviation.numpy()
            mean[columns], deviation[columns] = 0.0, IGNORED_DEVIATION
            scale.mean.assign(mean)
            scale.deviation.assign(deviation)


@dataclass(frozen=True)
class BuildAblated:
    """Builds ``AblatedNetwork``; it can be pickled, and two that ignore the same are equal."""

    ignored: Mapping[str, Sequence[int]]

    def __call__(self, sizes: Mapping[str, int]) -> BasketNetwork:
        """Build for inputs of the given widths."""
        return AblatedNetwork(sizes, self.ignored)


def leave_out(model: BasketLstm, without: str) -> None:
    """Change a model, before it is fitted, so that it is trained without some of its parts.

    Args:
        model: Not fitted.
        without: Names of ``GROUPS`` with + between; ``correction`` among them turns the online correction off.

    Raises:
        UnknownModel: ``without`` names something that cannot be left out.
    """
    if ignored := ignored_columns(without):
        model.build_network = BuildAblated(ignored)
    if CORRECTION in without.split("+"):
        model.rate_scales = (0.0,)


def ignored_columns(without: str) -> dict[str, list[int]]:
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
            columns.setdefault(kind, []).extend(names[kind].index(name) for name in inputs)
    return columns
