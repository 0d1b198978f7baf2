"""Loads the scorer of a verified bundle. No TensorFlow on this import path."""

import importlib
from collections.abc import Callable
from pathlib import Path

from training.model_table import MODEL_TABLE
from training.registry import BundleRefused, verify
from training.serving.scorer import Scorer

FALLBACK = "count_demand"
"""The model that serves without a bundle: it needs the customer's counts and the item table only."""


def load_scorer(folder: Path) -> Scorer:
    """The scorer of the bundle in a folder; every file is checked against its hash first.

    Raises:
        BundleRefused: It is damaged, of a model that this version does not know, or manifest and files are of different
            models.
    """
    manifest = verify(folder)
    entry = MODEL_TABLE.get(manifest.name)
    if entry is None or entry.loader is None:
        raise BundleRefused(
            f"The bundle {manifest.version} is of a model {manifest.name!r} that this version of nextbasket does not "
            f"know. Upgrade it, or promote another version."
        )
    module, function = entry.loader.split(":")
    load: Callable[[Path, str], Scorer] = getattr(importlib.import_module(module), function)
    scorer = load(folder, manifest.version)
    if scorer.name != manifest.name:
        raise BundleRefused(
            f"The bundle {manifest.version} is of {manifest.name} by its manifest and of {scorer.name} by its files. "
            "Train it anew, or promote another version."
        )
    return scorer


def fallback_scorer() -> Scorer:
    """``count_demand`` with the default calibration and return curve."""
    from training.serving.baselines.scorer import BaselineScorer

    return BaselineScorer(FALLBACK, "none")
