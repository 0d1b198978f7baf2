"""Registry: immutable versions of bundles, and one pointer to the version that serves (docs/reference/bundle.md).

    claims/<version>             created before anything is written: two publishers never write one version
    versions/<version>/          the bundle; its manifest.json is written last, and a version without one is not listed
    signatures/<version>.minisig the signature of the manifest, where the publisher has a key
    promotions/<sequence>.json   every move of the pointer, each created once, never changed
    current                      the version that serves: the pointer, written last, in one step

Nothing is locked or changed in place, so a publisher that dies leaves at most a claim and a folder that is not listed.
"""

import hashlib
import logging
import shutil
import tempfile
import uuid
import weakref
from collections.abc import Container, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import msgspec

from state.events.shop_dialect import ShopDialect
from training.registry import bundle
from training.registry.bundle import MANIFEST, DataWindow, Manifest
from training.registry.errors import BundleRefused, NothingToRollBack, RegistryError, UnknownVersion
from training.registry.signature import MAX_SIGNATURE_BYTES, Signatures
from training.registry.storage import Storage

logger = logging.getLogger(__name__)

_POINTER_BYTES = 200
_RECORD_BYTES = 10_000
_MAX_SUFFIX = 10_000


class Promotion(msgspec.Struct, frozen=True):
    """One move of the pointer.

    ``back_to`` is the sequence number of the promotion that a rollback returns to, None where there is none.
    """

    sequence: int
    version: str
    action: Literal["promote", "rollback"]
    at: str
    back_to: int | None = None


class Registry:
    """A registry at a path or fsspec URL. Holds no connection and no state: any number of processes may share one."""

    def __init__(self, url: str, *, cache: Path | None = None, signatures: Signatures | None = None) -> None:
        """Use the registry at ``url``; nothing is written before the first ``publish``.

        Args:
            url: A folder, or any fsspec URL whose driver is installed.
            cache: Folder for the downloaded bundles of a remote registry; without it, a temporary folder that is
                removed with this object. A registry in a local folder needs none.
            signatures: Signs what is published, and refuses versions without a valid signature.

        Raises:
            RegistryUnavailable: No such protocol, or its driver is not installed.
        """
        self.url = url
        self._storage = Storage(url)
        self._cache = cache
        self._signatures = signatures or Signatures()

    def publish(
        self,
        folder: Path,
        *,
        name: str,
        data_from: datetime,
        data_until: datetime,
        metrics: Mapping[str, Mapping[str, float]],
        created: datetime,
        dialect: ShopDialect | None = None,
    ) -> str:
        """Store the files of a folder as a new, immutable version; it serves only after ``promote``.

        The version is the end of the data, with a suffix where that is taken.

        Args:
            folder: The model's files, as ``Fitted.save`` left them; read, not changed. A manifest in it is ignored.
            name: The model's name, by which ``training.serving.load`` finds its scorer.
            data_from: Date of the first purchase it was fitted on.
            data_until: End, not included, of the purchases it was fitted on.
            metrics: By model (this one, the champion, each baseline), means over the same evaluation cases.
            created: The current time.
            dialect: In which the invoices were read that it was fitted on; a process with another refuses it.

        Returns:
            The version.

        Raises:
            BundleRefused: The folder holds nothing, a link, or more than a bundle may.
        """
        base = _timestamp(data_until).replace(":", "-")
        data = DataWindow(since=_timestamp(data_from), until=_timestamp(data_until))
        manifest = bundle.describe(
            folder,
            name=name,
            version=base,
            created=_timestamp(created),
            data=data,
            metrics=metrics,
            dialect=dialect,
        )
        version = self._claim(base)
        manifest = msgspec.structs.replace(manifest, version=version)
        for path in manifest.files:
            self._storage.upload(folder / path, f"versions/{version}/{path}")
        raw = _readable(manifest)
        if (signature := self._signatures.sign(raw, version)) is not None:
            self._storage.replace(_signature_path(version), signature)
        self._storage.replace(f"versions/{version}/{MANIFEST}", raw)
        logger.info("published %s %s", name, version)
        return version

    def require_signer(self) -> None:
        """Check, before a model is fitted, that what would be published would also be accepted.

        Raises:
            BundleRefused: Versions need a signature here, and there is no secret key.
        """
        if self._signatures.required and not self._signatures.can_sign:
            raise BundleRefused(
                "NEXTBASKET_SIGNING_PUBLIC_KEYS is set, so a version without a signature is refused: set "
                "NEXTBASKET_SIGNING_KEY_FILE where models are trained."
            )

    def versions(self) -> list[Manifest]:
        """Manifests of all versions, oldest first; one that cannot be read is left out and logged."""
        manifests = []
        for version in self._storage.names("versions"):
            if not bundle.is_version(version):
                continue
            try:
                manifests.append(self.manifest(version))
            except UnknownVersion:
                logger.debug("version %s is half written", version)
            except BundleRefused as error:
                logger.warning("version %s is left out: %s", version, error)
        return sorted(manifests, key=lambda manifest: (manifest.created, manifest.version))

    def manifest(self, version: str) -> Manifest:
        """The manifest of a version; its files are not read.

        Raises:
            UnknownVersion: There is no such version, or it is half written.
            BundleRefused: Its manifest is damaged, or is not signed by a key that is trusted.
        """
        raw = None
        if bundle.is_version(version):
            raw = self._storage.read(f"versions/{version}/{MANIFEST}", bundle.MAX_MANIFEST_BYTES + 1)
        if raw is None:
            raise UnknownVersion(
                f"The registry {self.url} has no version {version!r}. `nextbasket models list` shows those it has."
            )
        where = f"Version {version} of the registry {self.url}"
        if self._signatures.required:
            signature = self._storage.read(_signature_path(version), MAX_SIGNATURE_BYTES + 1)
            self._signatures.check(raw, signature, where)
        manifest = bundle.parse_manifest(raw, where)
        if manifest.version != version:
            raise BundleRefused(
                f"Version {version} of the registry {self.url} has the manifest of {manifest.version}. "
                "Publish it again."
            )
        return manifest

    def current(self) -> str | None:
        """The version that serves, or None before the first promotion. One small read: cheap enough to poll.

        Raises:
            RegistryError: The pointer is damaged.
        """
        raw = self._storage.read("current", _POINTER_BYTES)
        if raw is None:
            return None
        version = raw.decode("utf-8", "replace").strip()
        if not bundle.is_version(version):
            raise RegistryError(
                f"The pointer of the registry {self.url} is damaged. `nextbasket models promote VERSION` sets it again."
            )
        return version

    def history(self) -> list[Promotion]:
        """Every move of the pointer, oldest first; a record that cannot be read is left out and logged."""
        return [record for sequence in self._sequences() if (record := self._promotion(sequence)) is not None]

    def promote(self, version: str, *, at: datetime) -> None:
        """Verify the files of a version and point to it. Promoting the current version changes nothing.

        Args:
            version: The version.
            at: The current time, for the record.

        Raises:
            UnknownVersion: There is no such version.
            BundleRefused: It is damaged; the current version stays in use.
        """
        self._verify(version)
        newest = self._newest()
        if newest is not None and newest.version == version:
            self._point()
            return
        self._record(version, "promote", None if newest is None else newest.sequence, at)

    def rollback(self, *, at: datetime) -> str:
        """Point to the version that served before the current one was promoted; called again, to the one before that.

        Returns:
            The version that serves now.

        Raises:
            NothingToRollBack: No version was promoted before.
            BundleRefused: That version is damaged; the current version stays in use.
        """
        newest = self._newest()
        previous = None if newest is None or newest.back_to is None else self._promotion(newest.back_to)
        if previous is None:
            raise NothingToRollBack(
                f"The registry {self.url} has no promotion before the current one. `nextbasket models promote VERSION` "
                "takes any version."
            )
        self._verify(previous.version)
        self._record(previous.version, "rollback", previous.back_to, at)
        return previous.version

    def open(self, version: str) -> Path:
        """A folder on this machine that holds the verified bundle.

        A bundle of a local registry is verified in place; one of a remote registry is downloaded once and cached. So is
        every one that needs a signature: who may write to the registry cannot alter what was verified.

        Raises:
            UnknownVersion: There is no such version.
            BundleRefused: It is damaged, incomplete or oversized.
        """
        manifest = self.manifest(version)
        folder = self._storage.local(f"versions/{version}")
        if folder is not None and not self._signatures.required:
            _require_same(bundle.verify(folder), manifest, folder)
            return folder
        folder = self._cache_folder() / version
        if folder.exists():
            try:
                if bundle.verify(folder) == manifest:
                    return folder
            except BundleRefused as error:
                logger.warning("downloading again: %s", error)
            shutil.rmtree(folder, ignore_errors=True)
        return self._download(manifest, folder)

    def delete(self, version: str) -> None:
        """Delete a version that does not serve, and its copy in the cache of this machine; its name stays taken.

        The manifest goes first, so a deletion that is interrupted leaves a version that is not listed.

        Raises:
            RegistryError: It serves.
        """
        if version == self.current():
            raise RegistryError(f"Version {version} of the registry {self.url} serves; promote another one first.")
        self._storage.delete(f"versions/{version}/{MANIFEST}")
        self._storage.delete(f"versions/{version}")
        self.forget_cached({version})

    def forget_cached(self, versions: Container[str]) -> int:
        """Delete the copies of some versions in the cache of this machine; returns how many."""
        folder = self._cache_folder()
        found = [path for path in folder.iterdir() if path.name in versions] if folder.is_dir() else []
        for path in found:
            shutil.rmtree(path, ignore_errors=True)
        return len(found)

    def cached(self) -> list[str]:
        """The versions that are in the cache of this machine."""
        folder = self._cache_folder()
        return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []

    def _verify(self, version: str) -> None:
        """Verify what the registry itself holds, not the cached copy on this machine."""
        manifest = self.manifest(version)
        folder = self._storage.local(f"versions/{version}")
        if folder is not None:
            _require_same(bundle.verify(folder), manifest, folder)
            return
        with tempfile.TemporaryDirectory(prefix="nextbasket-registry-") as temporary:
            self._download(manifest, Path(temporary) / version)

    def _download(self, manifest: Manifest, folder: Path) -> Path:
        """Download to a temporary name, verify, rename: several processes may do so at the same time."""
        source = f"versions/{manifest.version}"
        total = sum(self._storage.size(f"{source}/{path}") or 0 for path in manifest.files)
        if total > bundle.MAX_BUNDLE_BYTES:
            raise BundleRefused(f"Version {manifest.version} is larger than {bundle.MAX_BUNDLE_BYTES:,} bytes.")
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = folder.parent / f".{folder.name}.{uuid.uuid4().hex}"
        try:
            for path in (*manifest.files, MANIFEST):
                if self._storage.size(f"{source}/{path}") is None:
                    raise BundleRefused(f"Version {manifest.version} of {self.url} lacks {path}. Publish it again.")
                self._storage.download(f"{source}/{path}", temporary / path)
            _require_same(bundle.verify(temporary), manifest, temporary)
            try:
                temporary.rename(folder)
            except OSError:  # another process was first
                _require_same(bundle.verify(folder), manifest, folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        return folder

    def _claim(self, base: str) -> str:
        """Claim a free version name: the base, or the base with the first free number."""
        token = uuid.uuid4().hex.encode()
        for suffix in range(1, _MAX_SUFFIX):
            version = base if suffix == 1 else f"{base}-{suffix}"
            if self._storage.create(f"claims/{version}", token):
                return version
        raise RegistryError(f"The registry {self.url} holds {_MAX_SUFFIX:,} versions named {base}. Remove old ones.")

    def _record(self, version: str, action: Literal["promote", "rollback"], back_to: int | None, at: datetime) -> None:
        """Append a promotion, then move the pointer."""
        for sequence in range(max(self._sequences(), default=0) + 1, 10**8):
            promotion = Promotion(sequence, version, action, _timestamp(at), back_to)
            if self._storage.create(_promotion_path(sequence), msgspec.json.encode(promotion)):
                break
        self._point()
        logger.info("%s: %s", action, version)

    def _point(self) -> None:
        """Move the pointer to the newest promotion, until no newer one has appeared.

        Two processes that promote at once may write the pointer in the wrong order. Each reads the promotions again
        after writing, so the last writer sees the newest of them: the pointer always ends on it.
        """
        pointed = None
        while (newest := self._newest()) is not None and newest != pointed:
            self._storage.replace("current", f"{newest.version}\n".encode())
            pointed = newest

    def _newest(self) -> Promotion | None:
        for sequence in reversed(self._sequences()):
            if (record := self._promotion(sequence)) is not None:
                return record
        return None

    def _sequences(self) -> list[int]:
        names = (name.removesuffix(".json") for name in self._storage.names("promotions"))
        return sorted(int(name) for name in names if name.isascii() and name.isdigit())

    def _promotion(self, sequence: int) -> Promotion | None:
        raw = self._storage.read(_promotion_path(sequence), _RECORD_BYTES)
        if raw is None:
            return None
        try:
            promotion = msgspec.json.decode(raw, type=Promotion)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            logger.warning("promotion %d of %s is left out: %s", sequence, self.url, error)
            return None
        return promotion if bundle.is_version(promotion.version) else None

    def _cache_folder(self) -> Path:
        if self._cache is None:
            self._cache = Path(tempfile.mkdtemp(prefix="nextbasket-registry-"))
            weakref.finalize(self, shutil.rmtree, self._cache, ignore_errors=True)
        return self._cache / "bundles" / hashlib.sha256(self.url.encode()).hexdigest()[:16]


def _require_same(found: Manifest, read: Manifest, folder: Path) -> None:
    """The signature is that of the manifest that was read first: the files must be those of the same one."""
    if found != read:
        raise BundleRefused(f"The bundle {folder}: its {MANIFEST} changed while it was read. Publish it again.")


def _signature_path(version: str) -> str:
    return f"signatures/{version}.minisig"


def _promotion_path(sequence: int) -> str:
    return f"promotions/{sequence:08d}.json"


def _timestamp(date: datetime) -> str:
    """ISO 8601 in UTC, whole seconds."""
    return date.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _readable(manifest: Manifest) -> bytes:
    """Indented JSON."""
    return msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n"
