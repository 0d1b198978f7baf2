"""Time of a search for the most similar vectors by plain products with all of them.

    python -m bench.research.similarity_search

An approximate index (HNSW and the like) answers within about a millisecond, but has to be built for every bundle, and
its recall is below 1. It saves nothing where plain products take a few milliseconds. Takes a few seconds.
"""

import argparse
import time

import numpy as np

from stream.tools.similarity import cosines

ITEMS = (3_700, 100_000, 1_000_000)
WIDTH = 64
ROUNDS = 9


def main() -> None:
    """Print the time of a query at each size of the catalogue: cosines with all items, and the ten greatest of them."""
    generator = np.random.default_rng(1)
    print(f"{'items':>10}  {'ms a question':>13}  {'MB of vectors':>13}")
    for size in ITEMS:
        vectors = generator.normal(size=(size, WIDTH)).astype(np.float32)
        times = []
        for row in range(ROUNDS):
            started = time.perf_counter()
            near = cosines(vectors, row)
            np.argpartition(-near, 10)[:10]
            times.append(time.perf_counter() - started)
        print(f"{size:>10,}  {1000 * float(np.median(times)):>13.2f}  {vectors.nbytes / 1e6:>13.0f}")


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    main()
