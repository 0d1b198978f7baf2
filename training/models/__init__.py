"""Models by name. Nothing is imported before it is made: a listing must not cost TensorFlow."""

import importlib
from collections.abc import Callable
from difflib import get_close_matches
from functools import partial
from typing import Any

from training.errors import UnknownModel
from training.models.model import Fitted, Model, Progress, quiet

__all__ = ["BASELINES", "MODELS", "Fitted", "Model", "Progress", "check_name", "make_model", "quiet"]


def _make(target: str, name: str, **options: Any) -> Model:
    module, factory = target.split(":")
    model: Model = getattr(importlib.import_module(module), factory)(name, **options)
    return model


_BASELINE = "training.models.baselines:Baseline"

BASELINES: tuple[str, ...] = (
    "g_topfreq",
    "recent_g_topfreq",
    "p_topfreq",
    "gp_topfreq",
    "count_demand",
    "ease",
    "ease_count_demand",
)
"""The simple models every other one is measured against, weakest first."""

MODELS: dict[str, Callable[..., Model]] = {
    **{name: partial(_make, _BASELINE, name) for name in BASELINES},
    "basket_lstm": partial(_make, "training.models.basket_lstm:BasketLstm", "basket_lstm"),
}
"""Model by name; each value makes one, with the options of that model as keywords."""


def check_name(name: str) -> None:
    """See to it that there is a model of a name.

    Raises:
        UnknownModel: There is none; the message lists those there are.
    """
    if name not in MODELS:
        near = get_close_matches(name, MODELS, n=1)
        hint = f" Did you mean {near[0]}?" if near else ""
        raise UnknownModel(f"There is no model {name!r}.{hint} Models: {', '.join(MODELS)}.")


def make_model(name: str, **options: Any) -> Model:
    """Make a model by its name.

    Raises:
        UnknownModel: No model is called that.
    """
    check_name(name)
    return MODELS[name](**options)
