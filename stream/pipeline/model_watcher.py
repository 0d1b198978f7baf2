"""Watches the registry for a newly promoted model, and loads it in a separate thread."""

import logging
from collections.abc import Callable
from pathlib import Path

from state.domain.history import CustomerHistory, HeldInvoice, HeldLine
from state.domain.items import record_sale
from state.errors import DialectDiffers
from state.events.invoice import THOUSAND
from stream.monitoring import Metrics
from stream.periodic import PeriodicThread
from stream.pipeline.ports import ModelRegistry
from training.features.item_table import ItemTable
from training.registry.errors import RegistryError, RegistryUnavailable
from training.serving.scorer import HORIZONS, Scorer

logger = logging.getLogger(__name__)


class ModelWatcher:
    """Loads the promoted version of the registry whenever it changes.

    ``scorer`` is the newest scorer that could be loaded; the processor reads it once a batch. A bundle that is damaged
    or cannot be loaded is refused once, with a log line and a metric, and the previous scorer stays in use.
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
        self._checked: str | None = None
        self._unavailable = False
        self._thread = PeriodicThread(
            "model-watch", self.check, "Checking the registry for a new model", interval_s=poll_s
        )
        metrics.model(fallback.name, fallback.version)

    def start(self) -> None:
        """Load the promoted version, then check for another one in a thread.

        Raises:
            DialectDiffers: The promoted model was trained in another dialect, and no other model serves yet.
        """
        self.check(starting=True)
        if self._checked is None:
            logger.info("There is no promoted model; %s serves until there is one", self.scorer.name)
        self._thread.start()

    def stop(self) -> None:
        """End the thread; a load in progress has one second to finish."""
        self._thread.stop()

    def check(self, *, starting: bool = False) -> None:
        """Load the promoted version, unless it was loaded or refused before; ``starting`` raises ``DialectDiffers``."""
        try:
            version = self._registry.current()
        except (RegistryError, OSError) as error:
            if not self._unavailable:
                logger.warning("The registry does not answer, %s stays in use: %s", self.scorer.name, error)
            self._unavailable = True
            return
        self._unavailable = False
        if version is None or version == self._checked:
            return
        try:
            scorer = self._load(self._registry.open(version))
            warm_up(scorer)
        except RegistryUnavailable as error:
            logger.warning("The registry does not answer, %s stays in use: %s", self.scorer.name, error)
            return
        except Exception as error:  # a bundle of unknown origin can fail in any way
            if starting and isinstance(error, DialectDiffers):
                raise
            logger.error(
                "Model %s is refused, %s %s stays in use: %s", version, self.scorer.name, self.scorer.version, error
            )
            self._metrics.model_refused()
        else:
            logger.info("Model %s %s serves from the next batch", scorer.name, scorer.version)
            self.scorer = scorer
            self._metrics.model_swapped(scorer.name, scorer.version)
        self._checked = version


def warm_up(scorer: Scorer) -> None:
    """Call a scorer for several kinds of customers: its first call may be slow, and its answers are checked.

    Raises:
        ValueError: Its predictions break the contract of ``Scorer``.
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
