"""The errors of ``training.registry``.

RegistryError
├── BundleRefused         a bundle differs from its manifest, or is none: the current version stays in use
├── UnknownVersion        the registry has no such version
├── NothingToRollBack     no version was promoted before the current one
└── RegistryUnavailable   the storage of the registry does not answer, or cannot be used: fix it, try again
"""


class RegistryError(Exception):
    """Base of the errors of this package; the message says what to do next."""


class BundleRefused(RegistryError):
    """A bundle is damaged, incomplete, oversized or of an unknown schema; it must not be loaded."""


class UnknownVersion(RegistryError):
    """The registry has no such version; the message names those it has."""


class NothingToRollBack(RegistryError):
    """There is no promotion before the current one."""


class RegistryUnavailable(RegistryError):
    """The storage does not answer or refuses access; the message carries its reason."""
