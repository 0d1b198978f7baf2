"""The files of a bundle whose hashes are right and whose content is hostile."""

import zipfile
from pathlib import Path

import numpy as np
import pytest

from training.registry import BundleRefused
from training.serving.bundle_files import read_arrays, refusing

FILE = "network.npz"


def read(folder: Path) -> None:
    with refusing(folder):
        read_arrays(folder / FILE)


def test_arrays_that_unpack_to_more_than_a_bundle_may_have_are_not_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.serving.bundle_files.MAX_BUNDLE_BYTES", 50_000)
    np.savez_compressed(tmp_path / FILE, kernel=np.zeros(3_000), bias=np.zeros(3_000))
    read(tmp_path)
    np.savez_compressed(tmp_path / FILE, kernel=np.zeros(3_000), bias=np.zeros(4_000))
    assert (tmp_path / FILE).stat().st_size < 1_000
    with pytest.raises(BundleRefused, match="unpacks to 56,256 bytes"):
        read(tmp_path)


def test_a_shape_that_no_machine_has_is_refused(tmp_path: Path) -> None:
    claimed = np.lib.format.header_data_from_array_1_0(np.zeros(1)) | {"shape": (10**8, 10**8)}
    with zipfile.ZipFile(tmp_path / FILE, "w") as file, file.open("kernel.npy", "w") as member:
        np.lib.format.write_array_header_1_0(member, claimed)
    with pytest.raises(BundleRefused, match="cannot be read"):
        read(tmp_path)


def test_objects_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / FILE, kernel=np.array([{"a": 1}], dtype=object))
    with pytest.raises(BundleRefused, match="allow_pickle"):
        read(tmp_path)


@pytest.mark.parametrize("damage", ["compressed", "method", "encrypted"])
def test_a_damaged_file_is_refused(damage: str, tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / FILE, kernel=np.arange(200.0))
    damaged = bytearray((tmp_path / FILE).read_bytes())
    entry = damaged.rindex(b"PK\x01\x02")  # in the directory of the archive
    if damage == "compressed":
        damaged[60:200] = bytes(140)
    elif damage == "method":
        damaged[entry + 10] = 99
    else:
        damaged[entry + 8] |= 1
    (tmp_path / FILE).write_bytes(damaged)
    with pytest.raises(BundleRefused):
        read(tmp_path)
