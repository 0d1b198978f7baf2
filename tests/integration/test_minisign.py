"""Signatures of bundles and the program minisign take each other's."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.unit.registry.bundles import model_files, publish
from training.registry import BundleRefused, Registry, Signatures


def minisign(*arguments: str) -> str:
    done = subprocess.run(["minisign", *arguments], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def keys(tmp_path: Path) -> tuple[Path, Path]:
    """The files with the public and the secret key, as minisign made them."""
    if shutil.which("minisign") is None:
        pytest.skip("needs minisign (Debian: apt-get install minisign); .ci/run installs it")
    files = tmp_path / "nextbasket.pub", tmp_path / "nextbasket.key"
    minisign("-G", "-W", "-p", str(files[0]), "-s", str(files[1]))
    return files


def test_minisign_checks_what_was_published_and_signs_what_was_not(keys: tuple[Path, Path], tmp_path: Path) -> None:
    public, secret = keys
    trusted = public.read_text().splitlines()[1]
    url = tmp_path / "registry"
    registry = Registry(str(url), signatures=Signatures([trusted], secret))
    version = publish(registry, model_files(tmp_path / "model"))
    manifest, signature = url / "versions" / version / "manifest.json", url / "signatures" / f"{version}.minisig"
    assert "verified" in minisign("-V", "-p", str(public), "-m", str(manifest), "-x", str(signature))
    signature.unlink()
    with pytest.raises(BundleRefused):
        registry.open(version)
    minisign("-S", "-s", str(secret), "-m", str(manifest), "-x", str(signature))
    assert registry.open(version).name == version
