"""The model that serves: loaded aside from the registry, verified, warmed up, and handed over between two batches."""

import logging
import threading
from collections.abc import Callable
from pathlib import Path

from state.domain.history import CustomerHistory, HeldInvoice, HeldLine
from state.domain.items import record_sale
from state.events.invoice import THOUSAND
from stream.monitoring import Metrics
from stream.pipeline.ports import ModelRegistry
from training.features.item_table import ItemTable
from training.registry.errors import RegistryError, RegistryUnavailable
from training.serving.scorer import HORIZONS, Scorer

logger = logging.getLogger(__name__)


class ModelWatcher:
    """Watches the registry's ``current`` and keeps the newest scorer that could be loaded.

    ``scorer`` is read by the processor's thread between batches; everything slow happens in the watching thread. A
    bundle that is damaged or does not load is refused once, with one log line and a metric, and the one before it
    serves on.
    """

    def __init__(
        self,
        registry: ModelRegistry,
        load: Callable[[Path], Scorer],
        fallback: Scorer,
        metrics: Metrics,
        *,
        poll_s: float,
    ) -> None:
        self.scorer = fallback
        self._registry = registry
        self._load = load
        self._metrics = metrics
        self._poll_s = poll_s
        self._seen: str | None = None
        self._unavailable = False
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="model-watch", daemon=True)
        metrics.model(fallback.name, fallback.version)

    def start(self) -> None:
        """Load what is current now, then keep watching in a thread of its own."""
        self.look()
        if self._seen is None:
            logger.info("No model in the registry yet; serving %s until there is one", self.scorer.name)
        self._thread.start()

    def stop(self) -> None:
        """End the thread; it is given a moment to finish what it is loading."""
        self._ending.set()
        if self._thread.is_alive():
            self._thread.join(1.0)

    def look(self) -> None:
        """Load the current version, unless it was looked at before."""
        try:
            version = self._registry.current()
        except (RegistryError, OSError) as error:
            if not self._unavailable:
                logger.warning("The registry does not answer, %s serves on: %s", self.scorer.name, error)
            self._unavailable = True
            return
        self._unavailable = False
        if version is None or version == self._seen:
            return
        try:
            scorer = self._load(self._registry.open(version))
            warm_up(scorer)
        except RegistryUnavailable as error:
            logger.warning("The registry does not answer, %s serves on: %s", self.scorer.name, error)
            return
        except Exception as error:  # a foreign bundle can fail in any way, and must not take the worker with it
            logger.error(
                "Model %s is refused, %s %s serves on: %s", version, self.scorer.name, self.scorer.version, error
            )
            self._metrics.model_refused()
        else:
            logger.info("Model %s %s serves from the next batch", scorer.name, scorer.version)
            self.scorer = scorer
            self._metrics.model_swapped(scorer.name, scorer.version)
        self._seen = version

    def _watch(self) -> None:
        while not self._ending.wait(self._poll_s):
            try:
                self.look()
            except Exception:  # the thread must live as long as the worker
                logger.exception("Looking for a new model failed")


def warm_up(scorer: Scorer) -> None:
    """Let a scorer answer for customers of several kinds, so that the first batch does not pay for its first call.

    Raises:
        ValueError: It answers what no scorer may.
    """
    table = ItemTable(record_sale(None, code, date, 1.0, code) for date, code in enumerate(("warm", "up"), 1))
    lines = (HeldLine("warm", THOUSAND, 1.0),)
    regular = CustomerHistory("regular", tuple(HeldInvoice(str(number), number, lines) for number in range(1, 4)))
    stranger = CustomerHistory("stranger", (HeldInvoice("1", 1, (HeldLine("unheard of", THOUSAND, 1.0),)),))
    gone = CustomerHistory("gone", (HeldInvoice("1", 1, (HeldLine("warm", -THOUSAND, 1.0),)),))
    histories = [regular, stranger, gone]
    predictions = scorer.predict(histories, table, now=10, k=10)
    if len(predictions) != len(histories):
        raise ValueError(f"it gave {len(predictions)} predictions for {len(histories)} customers")
    for prediction in predictions:
        chances = [candidate.probability for candidate in prediction.candidates]
        if chances != sorted(chances, reverse=True) or not all(0 <= chance <= 1 for chance in chances):
            raise ValueError(f"its probabilities are {chances}, which do not fall from 1 to 0")
        if len(prediction.return_curve) != len(HORIZONS):
            raise ValueError(f"its return curve has {len(prediction.return_curve)} values, not {len(HORIZONS)}")
