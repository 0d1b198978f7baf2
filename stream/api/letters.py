"""Reads the dead letters that were not sent back yet, and sends them back, for the page."""

from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, NamedTuple, Protocol

from state.settings import Settings
from stream.errors import BrokerUnavailable
from stream.kafka.config import kafka_python_config
from stream.kafka.customer_log import known_customers
from stream.kafka.letter_sender import LetterSender
from stream.kafka.topics import existing_topics
from stream.tools.redrive import DeadLetter, RedriveResult, erased_letters, redrive_letters, waiting_letters

if TYPE_CHECKING:
    from kafka import KafkaConsumer

MAX_LETTERS = 20_000
"""Greatest number of letters that are read for the page."""
MAX_EXAMPLES = 5
"""Greatest number of letters of a reason in a summary: the newest, with their bytes."""


class Reason(NamedTuple):
    """The letters of one reason: how many, and the newest of them with their partitions."""

    text: str
    letters: int
    newest: list[tuple[int, DeadLetter]]


class LetterSummary(NamedTuple):
    """The letters by reason, the most frequent first; ``complete``: whether all were read."""

    reasons: list[Reason]
    letters: int
    complete: bool


class DeadLetterAccess(Protocol):
    """Reads dead letters and sends them back. Blocks while Kafka answers."""

    def summary(self) -> LetterSummary:
        """The letters that wait.

        Raises:
            BrokerUnavailable: Kafka does not answer.
        """

    def redrive(self, reason: str) -> RedriveResult | None:
        """Send the letters of exactly one reason back; None where there is no letter at all.

        Raises:
            BrokerUnavailable: Kafka does not answer.
        """


class KafkaDeadLetters:
    """The topic of dead letters in Kafka; shares the group of ``nextbasket redrive``, so a letter goes back once."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def summary(self) -> LetterSummary:
        """The letters that wait."""
        with self._consumer() as consumer:
            if consumer is None:
                return LetterSummary([], 0, True)
            is_erased = erased_letters(known_customers(self._settings))
            letters = waiting_letters(consumer, self._settings.topics.dead_letter)
            return summarise(each for each in letters if not is_erased(each[1]))

    def redrive(self, reason: str) -> RedriveResult | None:
        """Send the letters of exactly one reason back."""
        with self._consumer() as consumer:
            if consumer is None:
                return None
            with closing(LetterSender(self._settings, consumer)) as sender:
                return redrive_letters(
                    consumer,
                    sender,
                    self._settings.topics.dead_letter,
                    self._settings.topics.invoices,
                    also={self._settings.topics.items},
                    is_wanted=lambda each: each == reason,
                    dry_run=False,
                    is_erased=erased_letters(known_customers(self._settings)),
                )

    @contextmanager
    def _consumer(self) -> "Iterator[KafkaConsumer | None]":
        """A consumer of the group; None where the topic does not exist."""
        from kafka import KafkaConsumer
        from kafka.errors import KafkaError

        if self._settings.topics.dead_letter not in existing_topics(
            self._settings, needed=[self._settings.topics.dead_letter], timeout_s=5.0
        ):
            yield None
            return
        try:
            with closing(
                KafkaConsumer(
                    **kafka_python_config(
                        self._settings,
                        group_id=f"{self._settings.group}-redrive",
                        enable_auto_commit=False,
                        auto_offset_reset="earliest",
                        allow_auto_create_topics=False,
                        isolation_level="read_committed",
                    )
                )
            ) as consumer:
                yield consumer
        except KafkaError as error:
            raise BrokerUnavailable(f"The dead letters cannot be read: {error}") from error


def summarise(letters: Iterator[tuple[int, DeadLetter]], most: int = MAX_LETTERS) -> LetterSummary:
    """The letters by reason, of ``most`` at most; letters come with their partitions, oldest first."""
    counts: Counter[str] = Counter()
    newest: dict[str, list[tuple[int, DeadLetter]]] = {}
    complete = True
    for partition, letter in letters:
        if counts.total() == most:
            complete = False
            break
        counts[letter.reason] += 1
        examples = newest.setdefault(letter.reason, [])
        examples.append((partition, letter))
        del examples[:-MAX_EXAMPLES]
    reasons = [Reason(reason, number, newest[reason][::-1]) for reason, number in counts.most_common()]
    return LetterSummary(reasons, counts.total(), complete)
