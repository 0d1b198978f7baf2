"""Item-to-item weights by hand and against a dense inverse."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from training.features.item_to_item import ease, invert, strongest
from training.models.item_to_item import Baskets, basket_matrix


def test_ease_of_two_items_by_hand() -> None:
    # G + λI = [[3, 1], [1, 2]], so P = 1/5 [[2, -1], [-1, 3]]; B[0,1] = -P01/P11 = 1/3, B[1,0] = -P10/P00 = 1/2.
    weights = ease(np.asarray([[2, 1], [1, 1]], np.float32), 1.0)

    np.testing.assert_allclose(weights, [[0, 1 / 3], [1 / 2, 0]], rtol=1e-6)


def test_the_blockwise_inverse_equals_that_of_numpy() -> None:
    generator = np.random.default_rng(3)
    baskets = (generator.random((1200, 700)) < 0.02).astype(np.float32)
    matrix = baskets.T @ baskets + 5 * np.eye(700, dtype=np.float32)

    np.testing.assert_allclose(invert(matrix), np.linalg.inv(matrix.astype(np.float64)), atol=1e-5)


def test_strongest_returns_the_weights_farthest_from_0() -> None:
    weights = np.asarray([[0.0, 0.3, -0.2, 0.1], [0.2, 0.0, -0.5, -0.1]], np.float32)

    neighbours = strongest(weights, 2)

    assert [{int(n): float(w) for n, w in zip(*row, strict=True)} for row in zip(*neighbours, strict=True)] == [
        {1: np.float32(0.3), 2: np.float32(-0.2)},
        {0: np.float32(0.2), 2: np.float32(-0.5)},
    ]


def test_no_items_have_no_neighbours() -> None:
    assert strongest(ease(np.zeros((0, 0), np.float32), 1.0), 100).weight.shape == (0, 0)


@given(
    rows=st.lists(st.lists(st.integers(0, 5), unique=True, min_size=1), min_size=1),
    order=st.permutations(range(6)),
    vocabulary=st.integers(0, 6),
    most=st.integers(1, 6),
)
def test_the_matrix_of_baskets_has_one_where_a_basket_holds_an_item(
    rows: list[list[int]], order: list[int], vocabulary: int, most: int
) -> None:
    index_of = np.array([each if each < vocabulary else -1 for each in order])
    baskets = Baskets(np.concatenate(rows).astype(np.int32), np.array([len(row) for row in rows]))
    for cut, part in ((baskets.first(most), slice(most)), (baskets.last(most), slice(-most, None))):
        expected = np.zeros((len(rows), 7), np.float32)
        for number, row in enumerate(rows):
            expected[number, index_of[row[part]]] = 1.0
        found = basket_matrix(cut, index_of, 6)
        assert found.has_canonical_format
        np.testing.assert_array_equal(found.toarray(), expected[:, :6])
