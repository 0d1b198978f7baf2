"""Bundles of models, the registry that stores them, and the gate. Imports neither TensorFlow nor pandas."""

from training.registry.bundle import DataWindow, Manifest, read_vocabulary, verify, write_vocabulary
from training.registry.errors import (
    BundleRefused,
    NothingToRollBack,
    RegistryError,
    RegistryUnavailable,
    UnknownVersion,
)
from training.registry.gate import Decision, decide
from training.registry.registry import Promotion, Registry
from training.registry.signature import Signatures

__all__ = [
    "BundleRefused",
    "DataWindow",
    "Decision",
    "Manifest",
    "NothingToRollBack",
    "Promotion",
    "Registry",
    "RegistryError",
    "RegistryUnavailable",
    "Signatures",
    "UnknownVersion",
    "decide",
    "read_vocabulary",
    "verify",
    "write_vocabulary",
]
