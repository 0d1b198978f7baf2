"""Which versions are pruned, and that nobody can be found in the bundles that stay."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from state.domain.history import CustomerHistory, add_invoice
from state.domain.identities import Pseudonyms
from state.events.invoice import Invoice, Line
from stream.tools.model_pruning import Pruning, plan_pruning
from tests.unit.registry.bundles import CLOCK, DATA_FROM, DATA_UNTIL, model_files, publish
from training.features.item_table import ItemTable
from training.registry import Registry, RegistryError, UnknownVersion, write_vocabulary
from training.serving.baselines.customer_keys import CustomerKeys
from training.serving.baselines.neighbours import ARRAYS, CustomerNeighbourhood, UpCf, is_enumerable

KEY = Pseudonyms("k" * 32)


@pytest.fixture(autouse=True)
def process_key() -> Iterator[None]:
    yield
    CustomerKeys.use(None)


def items() -> ItemTable:
    from state.domain.items import record_sale

    table = ItemTable()
    table.update([record_sale(None, code, 100, 1.0) for code in ("A", "B", "C")])
    return table


def saved(folder: Path, key: Pseudonyms | None) -> Path:
    """A bundle with the vectors of two customers."""
    CustomerKeys.use(key)
    histories = [
        add_invoice(CustomerHistory(name), Invoice("1", name, 100, (Line(code, 1000, 1.0),)), 100).history
        for name, code in (("ann", "A"), ("bob", "B"))
    ]
    folder.mkdir()
    write_vocabulary(folder, ["A", "B", "C"])
    CustomerNeighbourhood.fit(UpCf(), histories, items()).save(folder)
    return folder


def test_a_customer_is_found_in_a_bundle_with_the_key_only(tmp_path: Path) -> None:
    folder = saved(tmp_path / "bundle", KEY)
    assert not is_enumerable(folder)
    assert CustomerNeighbourhood.load(folder).has_id("ann").any()
    CustomerKeys.use(Pseudonyms("l" * 32))
    assert not CustomerNeighbourhood.load(folder).has_id("ann").any()
    CustomerKeys.use(None)
    assert not CustomerNeighbourhood.load(folder).has_id("ann").any()


def test_without_a_key_nobody_is_found_after_the_process(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = saved(tmp_path / "bundle", None)
    assert "NEXTBASKET_ERASURE_KEY_FILE" in caplog.text
    assert CustomerNeighbourhood.load(folder).has_id("ann").any()  # in the process that made it
    CustomerKeys.use(None)
    assert not CustomerNeighbourhood.load(folder).has_id("ann").any()


def test_a_bundle_of_earlier_versions_is_read_and_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    import hashlib

    folder = saved(tmp_path / "bundle", KEY)
    with np.load(folder / ARRAYS) as arrays:
        found = {name: arrays[name] for name in arrays.files if name != "keyed_by"}
    hashes = [hashlib.blake2b(name, digest_size=8).digest() for name in (b"ann", b"bob")]
    found["keys"] = np.asarray([int.from_bytes(each, "little") for each in hashes], np.uint64)
    np.savez_compressed(folder / ARRAYS, **found)
    assert is_enumerable(folder)
    assert CustomerNeighbourhood.load(folder).has_id("ann").any()
    assert "nextbasket models prune" in caplog.text


def test_old_versions_and_those_with_erased_customers_are_pruned(tmp_path: Path) -> None:
    registry = Registry(str(tmp_path / "registry"))
    plain = [publish(registry, model_files(tmp_path / f"plain{number}")) for number in range(3)]
    vectors = saved(tmp_path / "vectors", KEY)
    with_vectors = [publish(registry, vectors) for _ in range(2)]
    manifests = registry.versions()
    created = int(CLOCK.timestamp())

    def plan(champion: str | None, keep: int, erased: int | None, enumerable: bool = False) -> Pruning:
        return plan_pruning(manifests, champion, keep, erased, lambda version: enumerable)

    assert plan(plain[0], 9, None) == Pruning({}, None)
    assert set(plan(plain[0], 2, None).deleted) == set(plain[1:])
    assert set(plan(plain[0], 9, created + 1).deleted) == set(with_vectors)
    assert set(plan(plain[0], 9, created).deleted) == set(with_vectors)  # which of the two was first is not known
    assert set(plan(plain[0], 9, created - 1).deleted) == set()
    assert set(plan(plain[0], 9, None, enumerable=True).deleted) == set(with_vectors)
    of_champion = plan(with_vectors[0], 9, created + 1)
    assert set(of_champion.deleted) == {with_vectors[1]}
    assert "erased" in str(of_champion.champion)


@pytest.mark.parametrize("url", ["folder", "memory://prune"])
def test_a_deleted_version_is_gone_with_its_copies_and_its_name_stays_taken(url: str, tmp_path: Path) -> None:
    registry = Registry(str(tmp_path / "registry") if url == "folder" else url, cache=tmp_path / "cache")
    first, second = (publish(registry, model_files(tmp_path / name)) for name in ("one", "two"))
    registry.promote(second, at=CLOCK)
    registry.open(first)
    with pytest.raises(RegistryError, match="serves"):
        registry.delete(second)
    registry.delete(first)
    assert [each.version for each in registry.versions()] == [second]
    assert first not in registry.cached()
    with pytest.raises(UnknownVersion):
        registry.open(first)
    assert not list(tmp_path.rglob(f"{first}/weights.npz"))
    assert publish(registry, model_files(tmp_path / "three")) not in (first, second)
    assert DATA_FROM < DATA_UNTIL
