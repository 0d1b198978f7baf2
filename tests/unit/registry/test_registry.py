"""One contract for every storage: a local folder, and the memory storage of fsspec in place of object stores."""

import shutil
import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import fsspec
import pytest

from tests.unit.registry.bundles import CLOCK, DATA_UNTIL, model_files, publish
from training.registry import (
    BundleRefused,
    NothingToRollBack,
    Registry,
    RegistryError,
    RegistryUnavailable,
    UnknownVersion,
    read_vocabulary,
)
from training.registry.storage import Storage


@pytest.fixture(params=["folder", "memory"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "folder":
        yield str(tmp_path / "registry")
        return
    root = f"memory://{uuid.uuid4().hex}"
    yield root
    files = fsspec.filesystem("memory")
    if files.exists(root):
        files.rm(root, recursive=True)


@pytest.fixture
def registry(url: str, tmp_path: Path) -> Registry:
    return Registry(url, cache=tmp_path / "cache")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return model_files(tmp_path / "model")


def stored(registry: Registry, path: str) -> str:
    """URL of a file of the registry, to tamper with."""
    return f"{registry.url}/{path}"


def overwrite(registry: Registry, path: str, content: bytes) -> None:
    with fsspec.open(stored(registry, path), "wb") as file:
        file.write(content)


def test_an_empty_registry_has_nothing(registry: Registry) -> None:
    assert registry.versions() == []
    assert registry.current() is None
    assert registry.history() == []


def test_a_published_bundle_comes_back_byte_for_byte(registry: Registry, folder: Path) -> None:
    version = publish(registry, folder)

    opened = registry.open(version)

    assert version == "2011-12-09T13-00-00Z"
    assert (opened / "weights.npz").read_bytes() == b"weights"
    assert read_vocabulary(opened) == ["22613", "85123A"]
    assert sorted(path.name for path in opened.iterdir()) == ["manifest.json", "vocabulary.json", "weights.npz"]


def test_the_manifest_describes_what_was_published(registry: Registry, folder: Path) -> None:
    (manifest,) = [registry.manifest(publish(registry, folder))]

    assert manifest.name == "basket_lstm"
    assert manifest.created == "2011-12-10T06:00:00Z"
    assert (manifest.data.since, manifest.data.until) == ("2010-12-01T08:26:00Z", "2011-12-09T13:00:00Z")
    assert manifest.metrics["gp_topfreq"] == {"ndcg@10": 0.2869}
    assert set(manifest.files) == {"vocabulary.json", "weights.npz"}


def test_publishing_leaves_the_model_folder_as_it_was(registry: Registry, folder: Path) -> None:
    publish(registry, folder)

    assert sorted(path.name for path in folder.iterdir()) == ["vocabulary.json", "weights.npz"]


def test_a_bundle_may_have_subfolders(registry: Registry, folder: Path) -> None:
    (folder / "saved").mkdir()
    (folder / "saved" / "graph.pb").write_bytes(b"graph")

    opened = registry.open(publish(registry, folder))

    assert (opened / "saved" / "graph.pb").read_bytes() == b"graph"


def test_a_taken_version_gets_a_number(registry: Registry, folder: Path) -> None:
    assert [publish(registry, folder) for _ in range(3)] == [
        "2011-12-09T13-00-00Z",
        "2011-12-09T13-00-00Z-2",
        "2011-12-09T13-00-00Z-3",
    ]


def test_publishing_serves_nothing(registry: Registry, folder: Path) -> None:
    publish(registry, folder)

    assert registry.current() is None


def test_promotion_moves_the_pointer(registry: Registry, folder: Path) -> None:
    first, second = publish(registry, folder), publish(registry, folder)

    registry.promote(first, at=CLOCK)
    assert registry.current() == first
    registry.promote(second, at=CLOCK)
    assert registry.current() == second


def test_rollback_goes_back_step_by_step_and_no_further(registry: Registry, folder: Path) -> None:
    first, second, third = (publish(registry, folder) for _ in range(3))
    for version in (first, second, third):
        registry.promote(version, at=CLOCK)

    assert registry.rollback(at=CLOCK) == second
    assert registry.rollback(at=CLOCK) == first
    with pytest.raises(NothingToRollBack, match="models promote VERSION"):
        registry.rollback(at=CLOCK)

    assert registry.current() == first
    assert [(step.action, step.version) for step in registry.history()] == [
        ("promote", first),
        ("promote", second),
        ("promote", third),
        ("rollback", second),
        ("rollback", first),
    ]


def test_a_rollback_after_a_rollback_and_a_promotion_returns_to_what_served(registry: Registry, folder: Path) -> None:
    first, second, third = (publish(registry, folder) for _ in range(3))
    registry.promote(first, at=CLOCK)
    registry.promote(second, at=CLOCK)
    registry.rollback(at=CLOCK)
    registry.promote(third, at=CLOCK)

    assert registry.rollback(at=CLOCK) == first


def test_promoting_the_current_version_changes_nothing(registry: Registry, folder: Path) -> None:
    first, second = publish(registry, folder), publish(registry, folder)
    registry.promote(first, at=CLOCK)
    registry.promote(second, at=CLOCK)
    registry.promote(second, at=CLOCK + timedelta(hours=1))

    assert registry.rollback(at=CLOCK) == first


def test_versions_come_with_metrics_in_order_of_creation(registry: Registry, folder: Path) -> None:
    publish(registry, folder, ndcg=0.30)
    publish(registry, folder, ndcg=0.31, until=DATA_UNTIL - timedelta(days=1))

    found = [(manifest.version, manifest.metrics["basket_lstm"]["ndcg@10"]) for manifest in registry.versions()]

    assert found == [("2011-12-08T13-00-00Z", 0.31), ("2011-12-09T13-00-00Z", 0.30)]


def test_a_half_written_version_is_not_listed(registry: Registry, folder: Path) -> None:
    version = publish(registry, folder)
    fsspec.open(stored(registry, f"versions/{version}/manifest.json")).fs.rm(
        stored(registry, f"versions/{version}/manifest.json")
    )

    assert registry.versions() == []
    with pytest.raises(UnknownVersion):
        registry.open(version)
    with pytest.raises(UnknownVersion):
        registry.promote(version, at=CLOCK)
    assert publish(registry, folder) == f"{version}-2"


@pytest.mark.parametrize("damage", ["altered", "missing", "manifest"])
def test_a_damaged_version_is_refused_and_the_current_one_serves_on(
    registry: Registry, folder: Path, damage: str
) -> None:
    good, bad = publish(registry, folder), publish(registry, folder)
    registry.promote(good, at=CLOCK)
    if damage == "altered":
        overwrite(registry, f"versions/{bad}/weights.npz", b"weight5")
    elif damage == "missing":
        path = stored(registry, f"versions/{bad}/weights.npz")
        fsspec.open(path).fs.rm(path)
    else:
        overwrite(registry, f"versions/{bad}/manifest.json", b"{")

    with pytest.raises(BundleRefused):
        registry.promote(bad, at=CLOCK)

    assert registry.current() == good


def test_a_damaged_manifest_hides_only_its_own_version(registry: Registry, folder: Path) -> None:
    good, bad = publish(registry, folder), publish(registry, folder)
    overwrite(registry, f"versions/{bad}/manifest.json", b'{"schema_version": 2}')

    assert [manifest.version for manifest in registry.versions()] == [good]


def test_a_rollback_to_a_damaged_version_leaves_the_current_one(registry: Registry, folder: Path) -> None:
    first, second = publish(registry, folder), publish(registry, folder)
    registry.promote(first, at=CLOCK)
    registry.promote(second, at=CLOCK)
    overwrite(registry, f"versions/{first}/weights.npz", b"other")

    with pytest.raises(BundleRefused):
        registry.rollback(at=CLOCK)

    assert registry.current() == second


def test_a_manifest_of_another_version_is_refused(registry: Registry, folder: Path) -> None:
    first, second = publish(registry, folder), publish(registry, folder)
    with fsspec.open(stored(registry, f"versions/{first}/manifest.json")) as file:
        overwrite(registry, f"versions/{second}/manifest.json", file.read())

    with pytest.raises(BundleRefused, match=f"has the manifest of {first}"):
        registry.open(second)


@pytest.mark.parametrize("version", ["../etc", "", "a/b", ".hidden", "2011-12-09T13-00-00Z"])
def test_an_unknown_version_is_refused(registry: Registry, version: str) -> None:
    with pytest.raises(UnknownVersion, match="models list"):
        registry.open(version)


@pytest.mark.parametrize("pointer", [b"../../etc\n", b"\xff\xfe", b""])
def test_a_damaged_pointer_is_no_version(registry: Registry, folder: Path, pointer: bytes) -> None:
    version = publish(registry, folder)
    registry.promote(version, at=CLOCK)
    overwrite(registry, "current", pointer)

    with pytest.raises(RegistryError, match="models promote VERSION"):
        registry.current()

    registry.promote(version, at=CLOCK)
    assert registry.current() == version


def test_publishers_at_once_get_a_version_each(url: str, folder: Path) -> None:
    start = threading.Barrier(6)

    def one(_: int) -> str:
        registry = Registry(url)
        start.wait()
        return publish(registry, folder)

    with ThreadPoolExecutor(6) as pool:
        versions = list(pool.map(one, range(6)))

    assert len(set(versions)) == 6
    assert {manifest.version for manifest in Registry(url).versions()} == set(versions)
    for version in versions:
        Registry(url).open(version)


def test_promotions_at_once_end_on_the_newest_record(url: str, registry: Registry, folder: Path) -> None:
    versions = [publish(registry, folder) for _ in range(4)]
    start = threading.Barrier(4)

    def one(version: str) -> None:
        mine = Registry(url)
        start.wait()
        mine.promote(version, at=CLOCK)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(one, versions))

    history = registry.history()
    assert [step.sequence for step in history] == [1, 2, 3, 4]
    assert {step.version for step in history} == set(versions)
    assert registry.current() == history[-1].version


def test_who_writes_the_pointer_last_sees_the_newest_promotion(
    url: str, registry: Registry, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process promotes, pointer included, between this one's record and its pointer."""
    first, second = publish(registry, folder), publish(registry, folder)
    write = registry._storage.replace
    late = iter([second])

    def write_late(path: str, content: bytes) -> None:
        for version in late:
            Registry(url).promote(version, at=CLOCK)
        write(path, content)

    monkeypatch.setattr(registry._storage, "replace", write_late)
    registry.promote(first, at=CLOCK)

    assert [step.version for step in registry.history()] == [first, second]
    assert registry.current() == second


def test_a_damaged_promotion_is_left_out(registry: Registry, folder: Path) -> None:
    first, second = publish(registry, folder), publish(registry, folder)
    registry.promote(first, at=CLOCK)
    registry.promote(second, at=CLOCK)
    record = b'{"sequence": 3, "version": "../secret", "action": "promote", "at": "2011-12-10T06:00:00Z"}'
    overwrite(registry, "promotions/00000003.json", record)
    overwrite(registry, "promotions/00000004.json", b"{")
    overwrite(registry, "promotions/00000005.json", b'{"x": ' + b"[" * 9_000)

    assert [step.version for step in registry.history()] == [first, second]
    assert registry.rollback(at=CLOCK) == first


def test_an_oversized_remote_bundle_is_not_downloaded(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"memory://{uuid.uuid4().hex}"
    registry = Registry(url, cache=tmp_path / "cache")
    version = publish(registry, folder)
    monkeypatch.setattr("training.registry.bundle.MAX_BUNDLE_BYTES", 10)

    with pytest.raises(BundleRefused, match=f"Version {version} is larger than 10 bytes"):
        registry.open(version)
    assert not (tmp_path / "cache").exists()
    fsspec.filesystem("memory").rm(url, recursive=True)


def test_a_conditional_write_that_another_writer_won_creates_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some object stores ignore the condition and keep the last write: reading back tells whose it was."""
    url = f"memory://{uuid.uuid4().hex}"
    storage = Storage(url)
    files = fsspec.filesystem("memory")
    write = files.pipe_file

    def lose(path: str, content: bytes, **options: object) -> None:
        write(path, b"of another writer")

    monkeypatch.setattr(files, "pipe_file", lose)
    assert not storage.create("claims/v1", b"mine")
    monkeypatch.undo()
    assert storage.create("claims/v2", b"mine")
    assert not storage.create("claims/v2", b"mine")
    files.rm(url, recursive=True)


def test_a_remote_bundle_is_downloaded_once(url: str, registry: Registry, folder: Path) -> None:
    version = publish(registry, folder)
    opened = registry.open(version)
    before = (opened / "weights.npz").stat().st_ino

    assert (registry.open(version) / "weights.npz").stat().st_ino == before


def test_a_damaged_cached_copy_is_downloaded_again(tmp_path: Path, folder: Path) -> None:
    url = f"memory://{uuid.uuid4().hex}"
    registry = Registry(url, cache=tmp_path / "cache")
    version = publish(registry, folder)
    (registry.open(version) / "weights.npz").write_bytes(b"rotten")

    assert (registry.open(version) / "weights.npz").read_bytes() == b"weights"
    fsspec.filesystem("memory").rm(url, recursive=True)


def test_workers_that_download_at_once_share_one_copy(tmp_path: Path, folder: Path) -> None:
    url = f"memory://{uuid.uuid4().hex}"
    version = publish(Registry(url), folder)
    start = threading.Barrier(4)

    def one(_: int) -> Path:
        registry = Registry(url, cache=tmp_path / "cache")
        start.wait()
        return registry.open(version)

    with ThreadPoolExecutor(4) as pool:
        opened = set(pool.map(one, range(4)))

    (path,) = opened
    assert [entry.name for entry in path.parent.iterdir()] == [version]
    fsspec.filesystem("memory").rm(url, recursive=True)


def test_without_a_cache_the_copy_is_removed_with_the_registry(folder: Path) -> None:
    url = f"memory://{uuid.uuid4().hex}"
    registry = Registry(url)
    opened = registry.open(publish(registry, folder))
    assert opened.exists()

    del registry

    assert not opened.exists()
    fsspec.filesystem("memory").rm(url, recursive=True)


def test_a_local_registry_leaves_nothing_but_its_files(tmp_path: Path, folder: Path) -> None:
    registry = Registry(str(tmp_path / "registry"))
    version = publish(registry, folder)
    registry.promote(version, at=CLOCK)

    found = {path.relative_to(registry.url).as_posix() for path in Path(registry.url).rglob("*") if path.is_file()}
    assert found == {
        f"claims/{version}",
        f"versions/{version}/manifest.json",
        f"versions/{version}/vocabulary.json",
        f"versions/{version}/weights.npz",
        "promotions/00000001.json",
        "current",
    }


def test_a_file_system_without_hard_links_works(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr("os.link", refuse)
    registry = Registry(str(tmp_path / "registry"))

    assert [publish(registry, folder), publish(registry, folder)][1] == "2011-12-09T13-00-00Z-2"


def test_an_unknown_protocol_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RegistryUnavailable, match="NEXTBASKET_REGISTRY"):
        Registry("nosuch://bucket/path")


def test_a_registry_that_is_a_file_is_refused(tmp_path: Path, folder: Path) -> None:
    (tmp_path / "registry").write_text("not a folder")

    with pytest.raises(RegistryUnavailable, match="registry"):
        publish(Registry(str(tmp_path / "registry")), folder)


def test_an_empty_model_folder_is_refused(registry: Registry, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()

    with pytest.raises(BundleRefused, match="lists no files"):
        publish(registry, tmp_path / "empty")
    assert registry.versions() == []


def test_a_removed_version_is_gone_and_its_name_is_not_reused(tmp_path: Path, folder: Path) -> None:
    registry = Registry(str(tmp_path / "registry"))
    version = publish(registry, folder)
    shutil.rmtree(tmp_path / "registry" / "versions" / version)

    assert registry.versions() == []
    assert publish(registry, folder) == f"{version}-2"
