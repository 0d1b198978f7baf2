"""Notices that the topic of invoices was deleted, or deleted and made again, while a worker runs.

Kafka forgets the committed offsets of a deleted topic, and its clients begin again without a word. The id of the topic
is what shows it.
"""

import logging
from collections.abc import Callable

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient

from state.settings import Settings
from stream.kafka.config import confluent_config
from stream.periodic import PeriodicThread

logger = logging.getLogger(__name__)

CHECK_INTERVAL_S = 3.0
TIMEOUT_S = 3.0


class TopicWatch:
    """Checks the id of the topic repeatedly, in a separate thread.

    Args:
        settings: Where the brokers are, and the name of the topic.
        on_made_again: Called in the thread after a topic with another id was found, and logged.
        interval_s: Time between two checks.
    """

    def __init__(
        self, settings: Settings, on_made_again: Callable[[], None], *, interval_s: float = CHECK_INTERVAL_S
    ) -> None:
        self._name = settings.topics.invoices
        self._admin = AdminClient(confluent_config(settings, log_level=0))
        self._on_made_again = on_made_again
        self._id: str | None = None
        self._deleted = False
        self._thread = PeriodicThread(
            "topic-watch",
            self._check,
            f"Checking {self._name}",
            interval_s=interval_s,
            expected=(KafkaException,),  # an outage, which is reported elsewhere, or a broker without ids
        )

    def start(self) -> None:
        """Run the first check, where Kafka answers, and start the thread."""
        try:
            self._check()
        except KafkaException as error:
            logger.debug("The id of %s is not known: %s", self._name, error)
        self._thread.start()

    def stop(self) -> None:
        """End the thread; a check in progress has one second to finish."""
        self._thread.stop()

    def _check(self) -> None:
        asked = self._admin.describe_topics(TopicCollection([self._name]), request_timeout=TIMEOUT_S)[self._name]
        try:
            found = str(asked.result().topic_id)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                raise
            if self._id is not None and not self._deleted:
                logger.error("%s was deleted; make it again, and events are read from its beginning", self._name)
            self._deleted = True
            return
        before, self._id, self._deleted = self._id, found, False
        if before not in (None, found):
            logger.error(
                "%s was deleted and made again: events that were deleted before they were read are lost, unless they "
                "are sent again; it is read from its beginning",
                self._name,
            )
            self._on_made_again()
