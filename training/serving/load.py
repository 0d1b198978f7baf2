"""Loading: from a verified bundle to the scorer that its manifest names. No TensorFlow on this import path."""

import importlib
from collections.abc import Callable
from pathlib import Path

from training.registry import BundleRefused, verify
from training.serving.scorer import Scorer

_BASELINE = "training.serving.baselines.scorer:load"
_ITEM_LSTM = "training.serving.item_lstm.scorer:load"
_HYBRID = "training.serving.two_tower.scorer:load"

LOADERS: dict[str, str] = {
    "basket_lstm": "training.serving.basket_lstm.scorer:load",
    "label_lstm": _ITEM_LSTM,
    "frequent_lstm": _ITEM_LSTM,
    "text_lstm": _ITEM_LSTM,
    "hybrid": _HYBRID,
    "content": _HYBRID,
    "collaborative": _HYBRID,
    "random": _BASELINE,
    "popularity": _BASELINE,
    "g_topfreq": _BASELINE,
    "recent_g_topfreq": _BASELINE,
    "p_topfreq": _BASELINE,
    "gp_topfreq": _BASELINE,
    "count_demand": _BASELINE,
    "ease": _BASELINE,
    "ease_count_demand": _BASELINE,
    "tifu_knn": _BASELINE,
    "up_cf": _BASELINE,
}
"""Model by the manifest's ``name``: ``module:function``, called with the folder and the version."""

FALLBACK = "count_demand"
"""What serves where there is no bundle: it needs the customer's counts and the demand of the day, nothing learnt."""


def load_scorer(folder: Path) -> Scorer:
    """The scorer of the bundle in a folder; every file is checked against its hash first.

    Raises:
        BundleRefused: It is damaged, of a model that this version does not know, or its files are of another model than
            its manifest says.
    """
    manifest = verify(folder)
    if manifest.name not in LOADERS:
        raise BundleRefused(
            f"The bundle {manifest.version} is of a model {manifest.name!r} that this version of nextbasket does not "
            f"know. Upgrade it, or promote another version."
        )
    module, function = LOADERS[manifest.name].split(":")
    load: Callable[[Path, str], Scorer] = getattr(importlib.import_module(module), function)
    scorer = load(folder, manifest.version)
    if scorer.name != manifest.name:
        raise BundleRefused(
            f"The bundle {manifest.version} is of {manifest.name} by its manifest and of {scorer.name} by its files. "
            "Train it anew, or promote another version."
        )
    return scorer


def fallback_scorer() -> Scorer:
    """Count × demand with the constants of a shop of which nothing is known."""
    from training.serving.baselines.scorer import BaselineScorer

    return BaselineScorer(FALLBACK, "none")
