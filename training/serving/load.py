"""Loads the scorer of a verified bundle. No TensorFlow on this import path."""

import importlib
import logging
from collections.abc import Callable
from pathlib import Path

from state.events.shop_dialect import ShopDialect, in_words, require_dialect, zone_note
from training.model_table import MODEL_TABLE
from training.registry import BundleRefused, Manifest, verify
from training.registry.bundle import EVALUATED
from training.serving.scorer import Scorer

logger = logging.getLogger(__name__)

FALLBACK = "count_demand"
"""The model that serves without a bundle: it needs the customer's counts and the item table only."""
NO_VERSION = "none"
"""The version of the fallback, which no training has made."""


def load_scorer(folder: Path, dialect: ShopDialect | None = None) -> Scorer:
    """The scorer of the bundle in a folder; every file is checked against its hash first.

    Args:
        folder: The bundle.
        dialect: In which this process reads invoices; None where it reads none.

    Raises:
        BundleRefused: It is damaged, of a model that this version does not know, or manifest and files are of different
            models.
        DialectDiffers: It was trained on invoices that were read in another dialect.
    """
    manifest = verify(folder)
    if dialect is not None:
        _check_dialect(folder, manifest, dialect)
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


def _check_dialect(folder: Path, manifest: Manifest, dialect: ShopDialect) -> None:
    version = manifest.version
    if version == EVALUATED:
        version = f"{folder.parent.name}, as it was evaluated,"
    trained = f"Model {manifest.name} {version} was trained"
    if manifest.dialect is None:
        logger.warning(
            "Model %s %s does not say in which dialect it was trained; it is used %s. Train it again to be sure.",
            manifest.name,
            version,
            in_words(dialect),
        )
        return
    require_dialect(manifest.dialect, dialect, made=trained, otherwise=f"train and promote a model {in_words(dialect)}")
    if note := zone_note(manifest.dialect, dialect, made=trained):
        logger.warning(note)


def fallback_scorer() -> Scorer:
    """``count_demand`` with the default calibration and return curve."""
    from training.serving.baselines.scorer import BaselineScorer

    return BaselineScorer(FALLBACK, NO_VERSION)
