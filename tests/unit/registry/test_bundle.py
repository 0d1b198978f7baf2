"""Why a bundle is refused, one fault at a time."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.unit.registry.bundles import model_files
from training.registry import BundleRefused, DataWindow, read_vocabulary, verify, write_vocabulary
from training.registry import bundle as bundle_module
from training.registry.bundle import describe, parse_manifest


def manifest_of(folder: Path, **changes: Any) -> dict[str, Any]:
    """The manifest of a folder's files as JSON, with changes."""
    manifest = describe(
        folder,
        name="basket_lstm",
        version="v1",
        created="2011-12-10T06:00:00Z",
        data=DataWindow("2010-12-01T00:00:00Z", "2011-12-09T13:00:00Z"),
        metrics={},
    )
    return {
        "schema_version": manifest.schema_version,
        "name": manifest.name,
        "version": manifest.version,
        "created": manifest.created,
        "data": {"from": manifest.data.since, "until": manifest.data.until},
        "metrics": manifest.metrics,
        "files": manifest.files,
    } | changes


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    folder = model_files(tmp_path / "bundle")
    (folder / "manifest.json").write_text(json.dumps(manifest_of(folder)))
    return folder


def test_a_whole_bundle_passes(bundle: Path) -> None:
    assert verify(bundle).name == "basket_lstm"


def test_a_missing_file_is_refused(bundle: Path) -> None:
    (bundle / "weights.npz").unlink()

    with pytest.raises(BundleRefused, match=r"lacks weights\.npz"):
        verify(bundle)


def test_an_extra_file_is_refused(bundle: Path) -> None:
    (bundle / "weights.pkl").write_bytes(b"")

    with pytest.raises(BundleRefused, match=r"holds weights\.pkl, which its manifest\.json does not list"):
        verify(bundle)


def test_a_single_flipped_bit_is_refused(bundle: Path) -> None:
    (bundle / "weights.npz").write_bytes(b"weighus")

    with pytest.raises(BundleRefused, match=r"weights\.npz was altered"):
        verify(bundle)


def test_a_folder_without_a_manifest_is_refused(bundle: Path) -> None:
    (bundle / "manifest.json").unlink()

    with pytest.raises(BundleRefused, match="half written"):
        verify(bundle)


def test_a_link_is_refused(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"weights")
    (bundle / "weights.npz").unlink()
    (bundle / "weights.npz").symlink_to(tmp_path / "secret")

    with pytest.raises(BundleRefused, match="link"):
        verify(bundle)


def test_no_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleRefused, match="no folder"):
        verify(tmp_path / "nothing")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schema_version": 2}, "schema version is 2, this program reads 1"),
        ({"schema_version": "1"}, "cannot be read"),
        ({"name": "../lstm"}, "no proper name"),
        ({"version": "a/b"}, "no proper name"),
        ({"version": ".."}, "no proper name"),
        ({"files": {}}, "lists no files"),
        ({"files": {"../weights.npz": "0" * 64}}, "refused"),
        ({"files": {"/etc/passwd": "0" * 64}}, "refused"),
        ({"files": {"a//b": "0" * 64}}, "refused"),
        ({"files": {"a/../b": "0" * 64}}, "refused"),
        ({"files": {"c:\\b": "0" * 64}}, "refused"),
        ({"files": {"manifest.json": "0" * 64}}, "refused"),
        ({"files": {"weights.npz": "0" * 63}}, "no SHA-256"),
        ({"files": {f"f{number}": "0" * 64 for number in range(1_001)}}, "more than 1,000 files"),
        ({"metrics": {"lstm": {"ndcg@10": "good"}}}, "cannot be read"),
        ({"files": ["weights.npz"]}, "cannot be read"),
    ],
)
def test_a_manifest_is_refused_for(bundle: Path, changes: dict[str, Any], message: str) -> None:
    raw = json.dumps(json.loads((bundle / "manifest.json").read_bytes()) | changes).encode()

    with pytest.raises(BundleRefused, match=message):
        parse_manifest(raw, "It")


@pytest.mark.parametrize(
    "raw",
    [b"", b"null", b"[]", b"\xff", b"{", b'{"schema_version": 1}', b'{"schema_version": 1, "x":' + b"[" * 100_000],
)
def test_a_damaged_manifest_is_refused(raw: bytes) -> None:
    with pytest.raises(BundleRefused, match="cannot be read"):
        parse_manifest(raw, "It")


def test_an_unknown_field_is_ignored(bundle: Path) -> None:
    raw = json.dumps(json.loads((bundle / "manifest.json").read_bytes()) | {"note": "hello"}).encode()

    assert parse_manifest(raw, "It").version == "v1"


def test_a_bundle_beyond_the_bound_is_refused(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle_module, "MAX_BUNDLE_BYTES", 100)

    with pytest.raises(BundleRefused, match="larger than 100 bytes"):
        verify(bundle)


def test_a_bundle_of_too_many_files_is_refused(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the manifest nor folders count."""
    monkeypatch.setattr(bundle_module, "MAX_FILES", 2)
    (bundle / "folder").mkdir()
    assert verify(bundle).name == "basket_lstm"
    (bundle / "folder" / "more").write_bytes(b"")

    with pytest.raises(BundleRefused, match="holds more than 2 files"):
        verify(bundle)


def test_a_manifest_beyond_the_bound_is_not_read(bundle: Path) -> None:
    (bundle / "manifest.json").write_bytes(b" " * (1024**2 + 1))

    with pytest.raises(BundleRefused, match=r"manifest\.json is larger"):
        verify(bundle)


def test_a_vocabulary_comes_back_in_order(tmp_path: Path) -> None:
    codes = ["22613", "85123A", "ä\n\x00"]
    write_vocabulary(tmp_path, codes)

    assert read_vocabulary(tmp_path) == codes


def test_a_stock_code_is_refused_twice_in_a_vocabulary(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="twice"):
        write_vocabulary(tmp_path, ["1", "1"])

    (tmp_path / "vocabulary.json").write_text('{"stock_codes": ["1", "1"]}')
    with pytest.raises(BundleRefused, match="twice"):
        read_vocabulary(tmp_path)


@pytest.mark.parametrize("raw", ["", "[]", '{"codes": []}', '{"stock_codes": [1]}'])
def test_a_damaged_vocabulary_is_refused(tmp_path: Path, raw: str) -> None:
    (tmp_path / "vocabulary.json").write_text(raw)

    with pytest.raises(BundleRefused, match=r"vocabulary\.json cannot be read"):
        read_vocabulary(tmp_path)
