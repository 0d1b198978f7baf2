"""What became of letters that were sent back."""

from collections import Counter
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest
from kafka import TopicPartition

from stream.tools.redrive import RedriveCounts, RedriveResult
from stream.tools.redrive_outcome import Outcome, outcome_of, returned_letters, wait_for_workers


class DeadLetters:
    """A consumer of one partition of dead letters: reasons, and the offset of the event in partition 0."""

    def __init__(self, *letters: tuple[str, Mapping[str, str]]) -> None:
        self._records = [
            SimpleNamespace(
                offset=offset,
                key=None,
                value=b"",
                headers=[("reason", reason.encode()), *((name, text.encode()) for name, text in headers.items())],
            )
            for offset, (reason, headers) in enumerate(letters)
        ]
        self._next = 0

    def end_offsets(self, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(partitions, len(self._records))

    def assign(self, partitions: list[TopicPartition]) -> None:
        pass

    def seek(self, partition: TopicPartition, offset: int) -> None:
        self._next = offset

    def position(self, partition: TopicPartition) -> int:
        return self._next

    def poll(self, timeout_ms: int) -> dict[str, list[Any]]:
        records, self._next = self._records[self._next :], len(self._records)
        return {"records": records}


def source(offset: object, topic: str = "invoices") -> dict[str, str]:
    return {"source-topic": topic, "source-partition": "0", "source-offset": str(offset)}


def test_only_new_letters_of_events_that_were_sent_back_count_and_each_once() -> None:
    consumer = DeadLetters(
        ("old", source(1)),
        ("bad code", source(7)),
        ("bad code", source(8)),
        ("bad code", source(8)),  # the worker crashed, and repeated its batch
        ("another producer's", source(9)),
        ("elsewhere", source(7, "others")),
        ("foreign", {"source-topic": "invoices"}),
        ("foreign", source("x")),
    )
    result = RedriveResult(RedriveCounts(3, 0, 0), {TopicPartition("dead", 0): 1}, {0: {6, 7, 8}}, [])
    assert returned_letters(consumer, result, "invoices") == Counter({"bad code": 2})


def test_the_wait_ends_when_the_workers_have_committed_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    committed = {0: [0, 5, 8], 1: [3]}
    naps: list[float] = []
    monkeypatch.setattr("stream.tools.redrive_outcome.time.sleep", naps.append)

    def next_committed(partition: int) -> int:
        offsets = committed[partition]
        return offsets.pop(0) if len(offsets) > 1 else offsets[0]

    assert wait_for_workers(next_committed, {0: {6, 7}, 1: {2}}, limit_s=60.0) == 0
    assert len(naps) == 2


def test_without_time_to_wait_what_is_not_committed_is_counted() -> None:
    assert wait_for_workers({0: 7, 1: 0}.__getitem__, {0: {6, 7, 8}, 1: {0}}, limit_s=0.0) == 3


def test_a_letter_that_came_back_is_processed() -> None:
    assert outcome_of(5, Counter({"bad": 2}), 1) == Outcome(2, Counter({"bad": 2}), 1)
    assert outcome_of(5, Counter({"bad": 2}), 5) == Outcome(0, Counter({"bad": 2}), 3)
    assert outcome_of(5, Counter(), 0) == Outcome(5, Counter(), 0)
