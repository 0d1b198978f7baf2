"""A basket LSTM for the benchmark, trained briefly: the cost of a prediction does not depend on its accuracy.

Run as ``python -m bench.stream.train_model REGISTRY SENT`` with the settings of the worker; publishes and promotes.
"""

import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from bench.stream.workload import workload
from state.events.dates import to_datetime
from state.events.shop_dialect import shop_dialect
from state.settings import load_settings
from training.models import make_model
from training.registry import Registry

INVOICES, EXAMPLES = 12_000, 3_000
"""Number of invoices of the training set, and of the newest examples."""


def main(registry: Path, sent: int) -> None:
    """Fit a model on the invoices before the last ``sent`` ones."""
    settings = load_settings()
    data = workload(settings, stored=INVOICES, sent=sent)
    log = data.stored
    until = log[-1].date + 1
    fitted = make_model("basket_lstm", epochs=1, max_examples=EXAMPLES, whole=False).fit(log, until=until, seed=7)
    now = datetime.now(UTC)
    target = Registry(str(registry))
    with tempfile.TemporaryDirectory() as folder:
        fitted.save(Path(folder))
        version = target.publish(
            Path(folder),
            name="basket_lstm",
            data_from=to_datetime(log[0].date),
            data_until=to_datetime(until),
            metrics={},
            created=now,
            dialect=shop_dialect(settings, data.dialect),
        )
    target.promote(version, at=now)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
