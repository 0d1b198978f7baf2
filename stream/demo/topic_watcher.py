"""The demo's eye on the worker's topics: recommendations, scores and dead letters as they leave."""

import time

import msgspec
from confluent_kafka import Consumer

from state.domain.recommendation import Recommendation
from state.settings import Settings
from stream.demo.tally import Tally
from stream.kafka.config import confluent_config
from stream.pipeline.scores import Score

_MOST = 500
"""Messages taken at once."""


class TopicWatcher:
    """Reads the three output topics from their beginning into a tally."""

    def __init__(self, settings: Settings) -> None:
        self._topics = settings.topics
        self._consumer = Consumer(
            confluent_config(
                settings,
                **{
                    "group.id": "nextbasket-demo",
                    "auto.offset.reset": "earliest",
                    "enable.auto.commit": False,
                    "fetch.wait.max.ms": settings.fetch_wait_ms,
                },
            )
        )
        self._consumer.subscribe([self._topics.recommendations, self._topics.scores, self._topics.dead_letter])
        self._recommendation = msgspec.json.Decoder(Recommendation)
        self._score = msgspec.json.Decoder(Score)

    def read(self, tally: Tally, wait_s: float) -> int:
        """Wait up to ``wait_s`` for messages and count them in; returns how many there were."""
        messages = self._consumer.consume(_MOST, wait_s)
        at = time.monotonic()
        read = 0
        for message in messages:
            value = message.value()
            if message.error() is not None or value is None:
                continue
            read += 1
            if message.topic() == self._topics.recommendations:
                tally.recommended(self._recommendation.decode(value), at)
            elif message.topic() == self._topics.scores:
                score = self._score.decode(value)
                tally.scored(score.invoice_no, float(score.hit_at_10), score.recall_at_10)
            else:
                tally.dead_letters += 1
        return read

    def close(self) -> None:
        """Disconnect."""
        self._consumer.close()
