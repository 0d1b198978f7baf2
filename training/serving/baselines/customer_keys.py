"""CustomerKeys: under which keys a bundle has the vectors of customers, so that it names nobody."""

import hashlib
import logging
import secrets
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from state.domain.identities import Pseudonyms

logger = logging.getLogger(__name__)


class CustomerKeys:
    """The keys of customers in a bundle: the first 8 bytes of a keyed hash, so that the bundle names nobody.

    Without an erasure key they are random for each process: nobody can find a customer in the bundle then.
    """

    _of_process: "ClassVar[CustomerKeys | None]" = None

    def __init__(self, pseudonyms: Pseudonyms | None) -> None:
        """Use an erasure key, or none."""
        self._pseudonyms = pseudonyms or Pseudonyms(secrets.token_hex())
        self.is_lasting = pseudonyms is not None

    @classmethod
    def of_process(cls) -> "CustomerKeys":
        """The keys of this process: those of ``use`` where it was called."""
        if cls._of_process is None:
            cls._of_process = cls(None)
        return cls._of_process

    @classmethod
    def use(cls, pseudonyms: Pseudonyms | None) -> None:
        """Use an erasure key in this process; called by a command before it fits or loads a model."""
        cls._of_process = cls(pseudonyms)

    @property
    def fingerprint(self) -> str:
        """Tells two erasure keys apart, and says nothing about them."""
        return self._pseudonyms.fingerprint

    def key(self, customer_id: str) -> int:
        """The key of a customer."""
        return int(self._pseudonyms.of(customer_id)[:16], 16)


class _UnkeyedHash(CustomerKeys):
    """The keys of bundles that were written before there were erasure keys: anybody can compute them."""

    def key(self, customer_id: str) -> int:
        return int.from_bytes(hashlib.blake2b(customer_id.encode(), digest_size=8).digest(), "little")


def keys_of_bundle(folder: Path, keyed_by: NDArray[np.uint8] | None) -> CustomerKeys:
    """The keys that a bundle was made with, as far as they can be known; warns where they are not this process's.

    Args:
        folder: Of the bundle.
        keyed_by: The fingerprint that it has; None in bundles that were written before there were erasure keys.
    """
    if keyed_by is None:
        logger.warning(
            "The bundle %s has vectors of customers under hashes that anybody can compute; train again, and delete it "
            "with nextbasket models prune.",
            folder.name,
        )
        return _UnkeyedHash(None)
    keys = CustomerKeys.of_process()
    if keyed_by.tobytes().decode() != keys.fingerprint:
        logger.warning(
            "The bundle %s was made with another erasure key, or without one: a customer may be a neighbour of "
            "themselves. Set the key of its training, or train again.",
            folder.name,
        )
    return keys
