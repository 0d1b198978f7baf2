"""Print what a search for the most similar vectors costs as plain products.

    python -m bench.research.similarity_search

An approximate index (HNSW and the like) answers within a millisecond or so, but has to be built anew with every bundle,
and its recall is below 1. Where plain products take a few milliseconds there is nothing for it to save.
"""

import time

import numpy as np

from stream.tools.similarity import cosines

ITEMS = (3_700, 100_000, 1_000_000)
WIDTH = 64
ROUNDS = 9


def main() -> None:
    """Time a question at each size of the catalogue: cosines with all items, and the ten greatest of them."""
    generator = np.random.default_rng(1)
    print(f"{'items':>10}  {'ms a question':>13}  {'MB of vectors':>13}")
    for size in ITEMS:
        vectors = generator.normal(size=(size, WIDTH)).astype(np.float32)
        taken = []
        for row in range(ROUNDS):
            began = time.perf_counter()
            near = cosines(vectors, row)
            np.argpartition(-near, 10)[:10]
            taken.append(time.perf_counter() - began)
        print(f"{size:>10,}  {1000 * float(np.median(taken)):>13.2f}  {vectors.nbytes / 1e6:>13.0f}")


if __name__ == "__main__":
    main()
