"""Signatures of bundles: made in the format of minisign, required where public keys are set."""

import base64
import hashlib
import logging
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from minisign import KeyPair

from state.errors import SettingsError
from state.settings import load_settings
from stream.cli.registry import open_registry
from tests.unit.registry.bundles import CLOCK, Keys, model_files, publish
from training.registry import BundleRefused, Registry, Signatures, verify


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    return Keys(tmp_path)


@pytest.fixture(params=["folder", "memory"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path / "registry") if request.param == "folder" else f"memory://{tmp_path.name}"


def signing(url: str, keys: Keys) -> Registry:
    return Registry(url, signatures=Signatures([keys.public], keys.file))


def checking(url: str, *public: str) -> Registry:
    return Registry(url, signatures=Signatures(public))


def test_a_signed_bundle_is_taken_by_whoever_has_one_of_the_keys(url: str, keys: Keys, tmp_path: Path) -> None:
    version = publish(signing(url, keys), model_files(tmp_path / "model"))
    reader = checking(url, Keys(tmp_path, "other").public, keys.public)
    reader.promote(version, at=CLOCK)
    assert (reader.open(version) / "weights.npz").read_bytes() == b"weights"
    assert [manifest.version for manifest in reader.versions()] == [version]
    assert Registry(url).open(version).name == version  # without a key nothing is checked


def test_an_unsigned_bundle_is_refused_and_the_cure_is_named(
    url: str, keys: Keys, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    version = publish(Registry(url), model_files(tmp_path / "model"))
    reader = checking(url, keys.public)
    for use in (reader.open, lambda one: reader.promote(one, at=CLOCK)):
        with pytest.raises(BundleRefused, match=r"is not signed.*NEXTBASKET_SIGNING_KEY_FILE"):
            use(version)
    with caplog.at_level(logging.WARNING):
        assert reader.versions() == []
    assert "is not signed" in caplog.text
    assert reader.current() is None


def test_the_signature_of_another_key_is_refused(url: str, keys: Keys, tmp_path: Path) -> None:
    version = publish(signing(url, Keys(tmp_path, "foreign")), model_files(tmp_path / "model"))
    with pytest.raises(BundleRefused, match="not by a key of NEXTBASKET_SIGNING_PUBLIC_KEYS"):
        checking(url, keys.public).open(version)


def test_altered_content_is_refused_even_with_a_matching_manifest(keys: Keys, tmp_path: Path) -> None:
    registry = signing(str(tmp_path / "registry"), keys)
    version = publish(registry, model_files(tmp_path / "model"))
    folder = tmp_path / "registry" / "versions" / version
    manifest = (folder / "manifest.json").read_text()
    (folder / "weights.npz").write_bytes(b"other")
    before, after = (hashlib.sha256(content).hexdigest() for content in (b"weights", b"other"))
    (folder / "manifest.json").write_text(manifest.replace(before, after))
    Registry(str(tmp_path / "registry")).open(version)  # the hashes are right
    with pytest.raises(BundleRefused, match="manifest was altered"):
        registry.open(version)


def test_the_signature_of_one_version_does_not_serve_for_another(keys: Keys, tmp_path: Path) -> None:
    registry = signing(str(tmp_path / "registry"), keys)
    first = publish(registry, model_files(tmp_path / "one"))
    second = publish(registry, model_files(tmp_path / "two", b"other"))
    at = tmp_path / "registry"
    for name in ("manifest.json", "weights.npz", "vocabulary.json"):
        (at / "versions" / second / name).write_bytes((at / "versions" / first / name).read_bytes())
    (at / "signatures" / f"{second}.minisig").write_bytes((at / "signatures" / f"{first}.minisig").read_bytes())
    with pytest.raises(BundleRefused, match=f"has the manifest of {first}"):
        registry.open(second)


@pytest.mark.parametrize(
    "content", [b"", b"\xff" * 200, b"a\n" * 4, b"x" * 10_000, b"untrusted comment: \nRWQ=\ntrusted comment: \nAA==\n"]
)
def test_what_is_no_signature_is_refused(content: bytes, keys: Keys, tmp_path: Path) -> None:
    registry = signing(str(tmp_path / "registry"), keys)
    version = publish(registry, model_files(tmp_path / "model"))
    (tmp_path / "registry" / "signatures" / f"{version}.minisig").write_bytes(content)
    with pytest.raises(BundleRefused, match="its signature"):
        registry.open(version)


@pytest.mark.parametrize("position", [0, 10, 74, 120, 150])
def test_no_altered_byte_of_a_signature_passes(position: int, keys: Keys, tmp_path: Path) -> None:
    signatures = Signatures([keys.public], keys.file)
    signature = signatures.sign(b"manifest", "v") or b""
    lines = signature.splitlines()
    signed = lines[1] + lines[3] + lines[2]
    altered = signed[:position] + bytes([signed[position] ^ 1]) + signed[position + 1 :]
    rest = altered[len(lines[1]) :]
    damaged = b"\n".join([lines[0], altered[: len(lines[1])], rest[len(lines[3]) :], rest[: len(lines[3])]])
    signatures.check(b"manifest", signature, "x")
    with pytest.raises(BundleRefused):
        signatures.check(b"manifest", damaged, "x")


def test_the_format_is_minisigns(keys: Keys) -> None:
    """Checked by the description of the format, without the library that made it."""
    _, line, comment, global_line = (Signatures((), keys.file).sign(b"manifest", "v1") or b"").splitlines()
    public, made = base64.b64decode(keys.public), base64.b64decode(line)
    assert (public[:2], made[:2], made[2:10]) == (b"Ed", b"ED", public[2:10])
    key = Ed25519PublicKey.from_public_bytes(public[10:])
    key.verify(made[10:], hashlib.blake2b(b"manifest").digest())
    assert comment == b"trusted comment: nextbasket bundle v1"
    key.verify(base64.b64decode(global_line), made[10:] + comment.removeprefix(b"trusted comment: "))


def test_a_trainer_without_the_secret_key_is_told_before_it_trains(keys: Keys, tmp_path: Path) -> None:
    with pytest.raises(BundleRefused, match="NEXTBASKET_SIGNING_KEY_FILE"):
        checking(str(tmp_path / "registry"), keys.public).require_signer()
    signing(str(tmp_path / "registry"), keys).require_signer()
    Registry(str(tmp_path / "registry")).require_signer()


def test_keys_that_cannot_be_used_are_a_settings_error(keys: Keys, tmp_path: Path) -> None:
    locked = tmp_path / "locked.key"
    pair = KeyPair.generate()
    pair.secret_key.encrypt("password", opslimit=2**15, memlimit=2**24)
    locked.write_bytes(bytes(pair.secret_key))
    other = Keys(tmp_path, "other")
    public, secret = "NEXTBASKET_SIGNING_PUBLIC_KEYS", "NEXTBASKET_SIGNING_KEY_FILE"
    for variables, words in (
        ({public: "RWnonsense"}, public),
        ({public: keys.public + ",x"}, public),
        ({secret: str(tmp_path / "none")}, "cannot be read"),
        ({secret: str(Path(__file__))}, "no secret key"),
        ({secret: str(locked)}, "minisign -G -W"),
        ({public: keys.public, secret: str(other.file)}, "is not among"),
    ):
        with pytest.raises(SettingsError, match=words):
            open_registry(load_settings(variables))


def test_what_was_verified_is_what_is_read(url: str, keys: Keys, tmp_path: Path) -> None:
    """Somebody who may write to the registry swaps the files between the check and the use."""
    version = publish(signing(url, keys), model_files(tmp_path / "model"))
    reader = checking(url, keys.public)
    opened = reader.open(version)
    storage = reader._storage
    storage.replace(f"versions/{version}/weights.npz", b"planted")
    assert (opened / "weights.npz").read_bytes() == b"weights"
    assert verify(opened).version == version
    with pytest.raises(BundleRefused, match="altered"):
        checking(url, keys.public).open(version)
