"""The versions in the registry, each with what a reader compares them by."""

from collections.abc import Iterable
from typing import NamedTuple

from state.events.shop_dialect import in_words
from training.registry import Manifest, Promotion, Registry
from training.registry.gate import GATE_METRIC


class RegisteredVersion(NamedTuple):
    """A version; ``current``: whether it serves; ``promoted``: when it last began to, None where it never did.

    ``dialect``: in which the invoices were read that it was fitted on, in words; None where the bundle does not say.
    ``ndcg`` is the model's ndcg@10, ``best_baseline`` the name and the ndcg@10 of the best baseline.
    """

    manifest: Manifest
    current: bool
    promoted: str | None
    dialect: str | None
    ndcg: float | None
    best_baseline: tuple[str, float] | None


def model_versions(registry: Registry) -> list[RegisteredVersion]:
    """All versions, oldest first.

    Raises:
        RegistryError: The registry cannot be read.
    """
    current = registry.current()
    promoted = last_promotions(registry.history())
    return [_version(each, each.version == current, promoted.get(each.version)) for each in registry.versions()]


def last_promotions(history: Iterable[Promotion]) -> dict[str, str]:
    """By version the date at which it last became the champion, as in the record.

    Args:
        history: The moves of the pointer, oldest first.
    """
    return {promotion.version: promotion.at for promotion in history}


def _version(manifest: Manifest, current: bool, promoted: str | None) -> RegisteredVersion:
    values = {model: each[GATE_METRIC] for model, each in manifest.metrics.items() if GATE_METRIC in each}
    ndcg = values.pop(manifest.name, None)
    values.pop("champion", None)
    best = max(values, key=lambda model: values[model], default=None)
    dialect = None if manifest.dialect is None else in_words(manifest.dialect)
    return RegisteredVersion(manifest, current, promoted, dialect, ndcg, None if best is None else (best, values[best]))
