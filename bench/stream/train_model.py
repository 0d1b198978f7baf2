"""A basket LSTM for the benchmark, fitted briefly: an answer costs the same however good it is.

Run as ``python -m bench.stream.train_model REGISTRY STREAM`` with the worker's own settings; publishes and promotes.
"""

import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from bench.stream.workload import workload
from state.events.dates import to_datetime
from state.settings import load_settings
from training.models import make_model
from training.registry import Registry

PAST, EXAMPLES = 12_000, 3_000
"""Invoices that are learnt from, and the newest moments that the network sees."""


def main(registry: Path, stream: int) -> None:
    """Fit on what lies before the last ``stream`` invoices."""
    past = workload(load_settings(), past=PAST, stream=stream).past
    until = past[-1].date + 1
    fitted = make_model("basket_lstm", epochs=1, max_examples=EXAMPLES, whole=False).fit(past, until=until, seed=7)
    now = datetime.now(UTC)
    target = Registry(str(registry))
    with tempfile.TemporaryDirectory() as folder:
        fitted.save(Path(folder))
        version = target.publish(
            Path(folder),
            name="basket_lstm",
            data_from=to_datetime(past[0].date),
            data_until=to_datetime(until),
            metrics={},
            created=now,
        )
    target.promote(version, at=now)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
