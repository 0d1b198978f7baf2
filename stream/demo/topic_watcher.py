"""Reads the worker's output topics for the demo: recommendations, scores and dead letters."""

import time

import msgspec
from confluent_kafka import Consumer

from state.domain.recommendation import Recommendation
from state.settings import Settings
from stream.demo.statistics import ReplayStatistics
from stream.kafka.config import confluent_config
from stream.pipeline.scores import Score

_MAX_MESSAGES = 500
"""Messages in one read."""


class TopicWatcher:
    """Reads the three output topics from their beginning, and counts what it reads."""

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

    def read(self, statistics: ReplayStatistics, wait_s: float) -> int:
        """Wait up to ``wait_s`` for messages and count them; returns how many there were."""
        messages = self._consumer.consume(_MAX_MESSAGES, wait_s)
        at = time.monotonic()
        read = 0
        for message in messages:
            value = message.value()
            if message.error() is not None or value is None:
                continue
            read += 1
            if message.topic() == self._topics.recommendations:
                statistics.add_recommendation(self._recommendation.decode(value), at)
            elif message.topic() == self._topics.scores:
                score = self._score.decode(value)
                statistics.add_model_score(score.invoice_no, float(score.hit_at_10), score.recall_at_10)
            else:
                statistics.dead_letters += 1
        return read

    def close(self) -> None:
        """Disconnect."""
        self._consumer.close()
