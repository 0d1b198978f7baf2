"""Item-to-item weights of a catalogue too large for one inverse, against the inverse of the whole."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import sparse

from training.models.item_to_item import fit_ease, fit_neighbours

RIDGE = 20.0


def _rows(seed: int = 3, baskets: int = 3_000, items: int = 160) -> sparse.csr_array:
    """Baskets that each hold items of one of eight groups, and some others; items sorted by falling number."""
    generator = np.random.default_rng(seed)
    appeal = 1.0 / np.arange(1, items + 1) ** 0.7
    group = generator.integers(0, 8, items)
    chosen = generator.integers(0, 8, baskets)[:, None] == group
    held = generator.random((baskets, items)) < appeal * np.where(chosen, 0.8, 0.05)
    return sparse.csr_array(held[:, np.argsort(-held.sum(axis=0), kind="stable")].astype(np.float32))


def _dense(neighbour: NDArray[np.int32], weight: NDArray[np.float32]) -> NDArray[np.float32]:
    weights = np.zeros((len(weight), len(weight)), np.float32)
    np.add.at(weights, (np.arange(len(weight))[:, None], neighbour), weight)
    return weights


def _regressed(gram: NDArray[np.float64], item: int, n: int) -> NDArray[np.float64]:
    """Weights for one item by the ridge regression on the ``n`` items bought with it most."""
    strength = gram[item] / np.sqrt(np.diagonal(gram) + RIDGE)
    strength[item] = 0.0
    near = np.argsort(-strength, kind="stable")[: min(n, np.count_nonzero(strength))]
    weights = np.zeros(len(gram))
    weights[near] = np.linalg.solve(gram[np.ix_(near, near)] + RIDGE * np.eye(len(near)), gram[near, item])
    return weights


@pytest.mark.parametrize("weighted", [False, True])
def test_a_further_item_is_regressed_on_the_items_bought_with_it_most(
    weighted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.models.item_to_item.NEIGHBOURHOOD", 30)
    monkeypatch.setattr("training.models.item_to_item._ROWS", 50)
    rows = _rows()
    row_weights = np.random.default_rng(5).random(rows.shape[0]) if weighted else np.ones(rows.shape[0])

    found = _dense(*fit_neighbours(rows, row_weights if weighted else None, RIDGE, 160, exact_items=40))

    dense = rows.toarray().astype(np.float64)
    gram = dense.T @ (row_weights[:, None] * dense)
    for item in range(40, 160):
        expected = _regressed(gram, item, 30)
        source = expected != 0.0
        np.testing.assert_allclose(found[source, item], expected[source], atol=2e-5)


def test_every_weight_is_found_where_all_items_are_bought_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.models.item_to_item.NEIGHBOURHOOD", 60)
    generator = np.random.default_rng(4)
    held = generator.random((4_000, 60)) < np.linspace(0.5, 0.1, 60)
    rows = sparse.csr_array(held[:, np.argsort(-held.sum(axis=0), kind="stable")].astype(np.float32))

    found = _dense(*fit_neighbours(rows, None, RIDGE, 60, exact_items=20))

    whole = fit_ease(rows, None, RIDGE)
    np.testing.assert_allclose(found[:, 20:], whole[:, 20:], atol=2e-4)
    # Towards an exact item the diagonal of the inverse is that among the exact items: a bound of the true one.
    np.testing.assert_allclose(found[20:, :20], whole[20:, :20], atol=2e-4, rtol=0.5)


def test_the_most_bought_items_keep_the_exact_weights_among_each_other() -> None:
    rows = _rows()

    found = _dense(*fit_neighbours(rows, None, RIDGE, 160, exact_items=40))

    np.testing.assert_allclose(found[:40, :40], fit_ease(rows[:, :40], None, RIDGE), atol=1e-6)


def test_items_without_a_neighbour_have_none() -> None:
    alone = sparse.csr_array(np.eye(6, dtype=np.float32))

    found = fit_neighbours(alone, None, RIDGE, 3, exact_items=2)

    assert found.weight.shape == (6, 3)
    assert not found.weight.any()


def test_a_small_catalogue_is_exact() -> None:
    rows = _rows()

    found = _dense(*fit_neighbours(rows, None, RIDGE, 160))

    np.testing.assert_array_equal(found, fit_ease(rows, None, RIDGE))
