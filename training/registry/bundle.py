"""Bundle: a model as a folder of plain files, with a manifest that has the hash of each (docs/reference/bundle.md)."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from state.events.shop_dialect import ShopDialect
from training.registry.errors import BundleRefused

SCHEMA_VERSION = 1
"""Version of the manifest's schema; a reader refuses every other one."""

MANIFEST = "manifest.json"
VOCABULARY = "vocabulary.json"
EVALUATED = "judged"
"""Folder in a bundle: the same model as it was evaluated, fitted without the evaluation span, so that the next round
can evaluate it on weeks that it was not fitted on. The name, which is also the version in its manifest, is part of the
bundle's format."""

MAX_FILES = 1_000
MAX_BUNDLE_BYTES = 2 * 1024**3
"""More than any model needs: a larger bundle is a mistake or an attack, and is not read."""
MAX_MANIFEST_BYTES = 1024**2

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_SEGMENT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,199}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_BLOCK = 1024**2


class DataWindow(msgspec.Struct, frozen=True, rename={"since": "from"}):
    """What a model was fitted on: purchases dated in [``since``, ``until``), ISO 8601 in UTC."""

    since: str
    until: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Description of a bundle: its contents and how it was made.

    ``metrics`` holds, by model (that of the bundle, the champion, each baseline), the means over the same evaluation
    cases. ``files`` gives the SHA-256 of every file but the manifest, by its path inside the folder.
    ``dialect``: in which the invoices were read that it was fitted on; None where the bundle does not say.
    """

    schema_version: int
    name: str
    version: str
    created: str
    data: DataWindow
    metrics: dict[str, dict[str, float]]
    files: dict[str, str]
    dialect: ShopDialect | None = None


class _Schema(msgspec.Struct):
    schema_version: int


def is_version(text: str) -> bool:
    """Whether a text is a valid version: a plain word that is safe as a folder's name."""
    return _VERSION.fullmatch(text) is not None


def is_model_name(text: str) -> bool:
    """Whether a text is a valid name of a model."""
    return _NAME.fullmatch(text) is not None


def parse_manifest(raw: bytes, where: str) -> Manifest:
    """Decode a manifest and check what can be checked without its files.

    Args:
        raw: The bytes of ``manifest.json``.
        where: The bundle, as error messages name it.

    Raises:
        BundleRefused: It is no manifest, of an unknown schema, or lists forbidden file names.
    """
    if len(raw) > MAX_MANIFEST_BYTES:
        raise BundleRefused(f"{where}: its {MANIFEST} is larger than {MAX_MANIFEST_BYTES:,} bytes. Publish it again.")
    try:
        schema = msgspec.json.decode(raw, type=_Schema).schema_version
        if schema != SCHEMA_VERSION:
            raise BundleRefused(
                f"{where}: its schema version is {schema}, this program reads {SCHEMA_VERSION}. "
                "Use the release that wrote it, or train again."
            )
        manifest = msgspec.json.decode(raw, type=Manifest)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BundleRefused(f"{where}: its {MANIFEST} cannot be read ({error}). Publish it again.") from None
    _check(manifest, where)
    return manifest


def _check(manifest: Manifest, where: str) -> None:
    if not is_version(manifest.version) or not is_model_name(manifest.name):
        raise BundleRefused(f"{where}: its {MANIFEST} has no proper name and version. Publish it again.")
    if not manifest.files:
        raise BundleRefused(f"{where}: its {MANIFEST} lists no files. Publish it again.")
    if len(manifest.files) > MAX_FILES:
        raise BundleRefused(f"{where}: its {MANIFEST} lists more than {MAX_FILES:,} files. Publish it again.")
    for name, digest in manifest.files.items():
        if name == MANIFEST or not all(_SEGMENT.fullmatch(segment) for segment in name.split("/")):
            raise BundleRefused(
                f"{where}: its {MANIFEST} lists a file under the name {name[:100]!r}, which is refused."
            )
        if not _SHA256.fullmatch(digest):
            raise BundleRefused(f"{where}: its {MANIFEST} has no SHA-256 for {name}. Publish it again.")


def describe(
    folder: Path,
    *,
    name: str,
    version: str,
    created: str,
    data: DataWindow,
    metrics: Mapping[str, Mapping[str, float]],
    dialect: ShopDialect | None = None,
) -> Manifest:
    """The manifest of the files that lie in a folder now.

    Raises:
        BundleRefused: The folder holds nothing, a link, or more than a bundle may.
    """
    manifest = Manifest(
        schema_version=SCHEMA_VERSION,
        name=name,
        version=version,
        created=created,
        data=data,
        metrics={model: dict(values) for model, values in metrics.items()},
        files={path: sha256(folder / path) for path in sorted(_contents(folder) - {MANIFEST})},
        dialect=dialect,
    )
    _check(manifest, str(folder))
    return manifest


def verify(folder: Path) -> Manifest:
    """Check that a folder holds exactly the files of its manifest, with their hashes; returns the manifest.

    Raises:
        BundleRefused: A file is missing, not listed or altered; nothing of the bundle may be loaded.
    """
    where = f"The bundle {folder}"
    contents = _contents(folder)
    if MANIFEST not in contents:
        raise BundleRefused(f"{where} has no {MANIFEST}: it is no bundle, or half written. Publish it again.")
    if (folder / MANIFEST).stat().st_size > MAX_MANIFEST_BYTES:
        raise BundleRefused(f"{where}: its {MANIFEST} is larger than {MAX_MANIFEST_BYTES:,} bytes. Publish it again.")
    manifest = parse_manifest((folder / MANIFEST).read_bytes(), where)
    listed = set(manifest.files) | {MANIFEST}
    if missing := sorted(listed - contents):
        raise BundleRefused(f"{where} lacks {missing[0]}. Publish it again.")
    if extra := sorted(contents - listed):
        raise BundleRefused(f"{where} holds {extra[0]}, which its {MANIFEST} does not list. Publish it again.")
    for path, digest in manifest.files.items():
        if sha256(folder / path) != digest:
            raise BundleRefused(f"{where}: {path} was altered since it was published. Publish it again.")
    return manifest


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def write_vocabulary(folder: Path, stock_codes: Sequence[str]) -> None:
    """Write the stock codes that a model was fitted on, in the order of its rows.

    Raises:
        ValueError: A stock code occurs twice.
    """
    if len(set(stock_codes)) != len(stock_codes):
        raise ValueError("A stock code occurs twice in the vocabulary.")
    (folder / VOCABULARY).write_bytes(msgspec.json.encode({"stock_codes": list(stock_codes)}))


def read_vocabulary(folder: Path) -> list[str]:
    """Read the stock codes that a model was fitted on, in the order of its rows.

    Raises:
        BundleRefused: The file is missing or is no vocabulary.
    """
    try:
        decoded = msgspec.json.decode((folder / VOCABULARY).read_bytes(), type=dict[str, list[str]])
        stock_codes = decoded["stock_codes"]
    except (OSError, KeyError, msgspec.MsgspecError) as error:
        raise BundleRefused(f"The bundle {folder}: its {VOCABULARY} cannot be read ({error}).") from None
    if len(set(stock_codes)) != len(stock_codes):
        raise BundleRefused(f"The bundle {folder}: a stock code occurs twice in its {VOCABULARY}.")
    return stock_codes


def _contents(folder: Path) -> set[str]:
    """Paths of all files below a folder, with ``/`` between segments; bounds are checked before anything is read."""
    if not folder.is_dir():
        raise BundleRefused(f"The bundle {folder} is no folder. Check the path.")
    paths: set[str] = set()
    size = 0
    for path in folder.rglob("*"):
        if path.is_symlink():
            raise BundleRefused(f"The bundle {folder} holds the link {path.name}; a bundle holds plain files only.")
        if path.is_dir():
            continue
        if not path.is_file():
            raise BundleRefused(f"The bundle {folder} holds {path.name}, which is no plain file.")
        paths.add(path.relative_to(folder).as_posix())
        size += path.stat().st_size
        if len(paths) > MAX_FILES + 1:
            raise BundleRefused(f"The bundle {folder} holds more than {MAX_FILES:,} files.")
        if size > MAX_BUNDLE_BYTES:
            raise BundleRefused(f"The bundle {folder} is larger than {MAX_BUNDLE_BYTES:,} bytes.")
    return paths
