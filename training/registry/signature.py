"""Signatures of bundles in the format of minisign (Ed25519), so that its program can make and check them too.

The manifest is signed; it has the hash of every other file, and the name of its version.
"""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

from minisign import Error, PublicKey, SecretKey, Signature

from training.registry.errors import BundleRefused

MAX_SIGNATURE_BYTES = 4_096
_MAX_KEY_BYTES = 4_096
_PUBLISH = "Publish it with NEXTBASKET_SIGNING_KEY_FILE, or sign it by hand (docs/how-to/train-and-promote.md)."

T = TypeVar("T")


class Signatures:
    """Signs manifests with a secret key, where there is one, and checks them by public keys, where there are any."""

    def __init__(self, public_keys: Sequence[str] = (), secret_key_file: Path | None = None) -> None:
        """Read the keys.

        Args:
            public_keys: Each as the second line of minisign's file has it; a bundle needs the signature of one.
            secret_key_file: Minisign's file with a secret key without a password.

        Raises:
            ValueError: A key cannot be used; the message names the setting, and has nothing of a secret key.
        """
        self._public = [
            _usable(partial(PublicKey.from_base64, key), "NEXTBASKET_SIGNING_PUBLIC_KEYS has what is no public key")
            for key in public_keys
        ]
        self._secret: SecretKey | None = None
        if secret_key_file is not None:
            self._secret = _secret_key(secret_key_file)
            if self._public and self._secret.get_public_key() not in self._public:
                raise ValueError(
                    "The public key of NEXTBASKET_SIGNING_KEY_FILE is not among NEXTBASKET_SIGNING_PUBLIC_KEYS: what "
                    "is published would be refused"
                )

    @property
    def required(self) -> bool:
        """Whether a bundle without a valid signature is refused."""
        return bool(self._public)

    @property
    def can_sign(self) -> bool:
        """Whether there is a secret key."""
        return self._secret is not None

    def sign(self, manifest: bytes, version: str) -> bytes | None:
        """The signature of a manifest, None without a secret key."""
        if self._secret is None:
            return None
        made = self._secret.sign(manifest, trusted_comment=f"nextbasket bundle {version}")
        return bytes(made) + b"\n"

    def check(self, manifest: bytes, signature: bytes | None, where: str) -> None:
        """Check the signature of a manifest; everything passes where no public key is set.

        Raises:
            BundleRefused: There is none, or it is not of one of the keys; the message says how to get one.
        """
        if not self._public:
            return
        if signature is None:
            raise BundleRefused(f"{where} is not signed, and NEXTBASKET_SIGNING_PUBLIC_KEYS is set. {_PUBLISH}")
        if len(signature) > MAX_SIGNATURE_BYTES:
            raise BundleRefused(f"{where}: its signature is larger than {MAX_SIGNATURE_BYTES:,} bytes. {_PUBLISH}")
        try:
            made = Signature.from_bytes(signature)
        except (Error, ValueError) as error:
            raise BundleRefused(f"{where}: its signature cannot be read ({error}). {_PUBLISH}") from None
        for key in self._public:
            try:
                key.verify(manifest, made)
            except (Error, ValueError):
                continue
            return
        raise BundleRefused(
            f"{where}: its signature is not by a key of NEXTBASKET_SIGNING_PUBLIC_KEYS, or its manifest was altered. "
            f"{_PUBLISH}"
        )


def _secret_key(file: Path) -> SecretKey:
    try:
        with file.open("rb") as opened:
            content = opened.read(_MAX_KEY_BYTES)
    except OSError as error:
        raise ValueError(f"NEXTBASKET_SIGNING_KEY_FILE is {file}, which cannot be read ({error.strerror})") from None
    key = _usable(
        partial(SecretKey.from_bytes, content), f"NEXTBASKET_SIGNING_KEY_FILE is {file}, which is no secret key"
    )
    if key.is_encrypted():
        raise ValueError(
            f"The key in {file} has a password, which nobody could type in; minisign -G -W makes one without"
        )
    return key


def _usable(read: Callable[[], T], otherwise: str) -> T:
    try:
        return read()
    except (Error, ValueError):
        raise ValueError(f"{otherwise} of minisign") from None
