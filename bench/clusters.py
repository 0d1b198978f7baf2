"""Draw the elbow of customers' clusters: ``python -m bench.clusters PATH 2011-11-09 elbow.svg``.

K-means over recency, frequency, monetary and variety of all customers as of a day. The share of the variance that is
left within clusters falls with every further one; where the line bends, more of them say little.
"""

import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from state.settings import load_settings
from training.data.walk import Replay
from training.eda.charts import curve
from training.evaluation.split import moment
from training.log import before, read_table
from training.models.two_tower.encoding import CLUSTERS, elbow
from training.serving.hybrid_customer import customer


def main(path: str, until: str, file: str) -> None:
    """Print and draw what is left at 1 to 12 clusters of the customers known before ``until``."""
    settings = load_settings()
    log, _ = read_table(Path(path), settings)
    end = moment(until, settings.timezone)
    replay = Replay(settings.window)
    for invoice in before(log, end):
        replay.apply(invoice)
    rfmv = np.stack([customer(history, replay.items, end).rfmv for history in replay.histories.values()])
    left = np.asarray(elbow(rfmv)) / rfmv.shape[1]
    for count, share in enumerate(left, 1):
        print(f"{count:>3} clusters  {share:.3f} of the variance left")
    figure = Figure(figsize=(6.0, 3.6), layout="constrained")
    clusters = np.arange(1.0, len(left) + 1)
    at = (float(CLUSTERS), float(left[CLUSTERS - 1]), f"{CLUSTERS} are used")
    curve(figure, clusters, left, about=("clusters", "variance left within clusters"), mark=at, dots=True)
    figure.savefig(file)


if __name__ == "__main__":
    main(*sys.argv[1:])
