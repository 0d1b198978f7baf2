"""The model registry of the settings, and the model that serves."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from state.settings import Settings
    from training.registry import Registry
    from training.serving.scorer import Scorer


def open_registry(settings: "Settings") -> "Registry":
    """The registry that the settings name, with their cache for downloads; customers have their keys in its bundles.

    Raises:
        SettingsError: The erasure key, or a key of signatures, cannot be used.
    """
    from state.errors import SettingsError
    from state.store.identities import load_pseudonyms
    from training.registry import Registry, Signatures
    from training.serving.baselines.customer_keys import CustomerKeys

    CustomerKeys.use(load_pseudonyms(settings))
    try:
        signatures = Signatures(settings.public_keys, settings.signing_key_file)
    except ValueError as error:
        raise SettingsError(f"{error}.") from None
    return Registry(settings.registry_url, cache=settings.cache, signatures=signatures)


def load_current_scorer(settings: "Settings") -> "Scorer":
    """The scorer of the current version; the fallback scorer, which needs no training, where there is none.

    Raises:
        RegistryError: The registry or its current bundle cannot be used.
        DialectDiffers: The model was trained on invoices that were read in another dialect.
    """
    from state.events.shop_dialect import shop_dialect
    from training.serving.load import fallback_scorer, load_scorer

    registry = open_registry(settings)
    version = registry.current()
    return fallback_scorer() if version is None else load_scorer(registry.open(version), shop_dialect(settings))
