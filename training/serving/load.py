"""Loads the scorer of a verified bundle. No TensorFlow on this import path."""

import importlib
import logging
from collections.abc import Callable
from pathlib import Path

from state.events.invoice_rules import InvoiceRules, in_words, require_rules, zone_note
from training.model_table import MODEL_TABLE
from training.registry import BundleRefused, Manifest, verify
from training.serving.scorer import Scorer

logger = logging.getLogger(__name__)

FALLBACK = "count_demand"
"""The model that serves without a bundle: it needs the customer's counts and the item table only."""


def load_scorer(folder: Path, rules: InvoiceRules | None = None) -> Scorer:
    """The scorer of the bundle in a folder; every file is checked against its hash first.

    Args:
        folder: The bundle.
        rules: How this process reads invoices; None where it reads none.

    Raises:
        BundleRefused: It is damaged, of a model that this version does not know, or manifest and files are of different
            models.
        RulesDiffer: It was trained on invoices that were read by other rules.
    """
    manifest = verify(folder)
    if rules is not None:
        _check_rules(manifest, rules)
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


def _check_rules(manifest: Manifest, rules: InvoiceRules) -> None:
    trained = f"Model {manifest.name} {manifest.version} was trained"
    if manifest.invoice_rules is None:
        logger.warning(
            "Model %s %s does not say in which dialect it was trained; it is used %s. Train it again to be sure.",
            manifest.name,
            manifest.version,
            in_words(rules),
        )
        return
    require_rules(
        manifest.invoice_rules,
        rules,
        made=trained,
        otherwise=f"train and promote a model {in_words(rules)}",
    )
    if note := zone_note(manifest.invoice_rules, rules, made=trained):
        logger.warning(note)


def fallback_scorer() -> Scorer:
    """``count_demand`` with the default calibration and return curve."""
    from training.serving.baselines.scorer import BaselineScorer

    return BaselineScorer(FALLBACK, "none")
