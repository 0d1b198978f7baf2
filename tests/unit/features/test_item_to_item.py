"""Item-to-item weights by hand and against a dense inverse."""

import numpy as np

from training.features.item_to_item import ease, invert, strongest


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
