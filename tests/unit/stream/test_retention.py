"""What a receipt says about how long Kafka has what was deleted."""

import pytest

from stream.kafka.retention import describe_retention

DAY = 86_400_000
COMPACTED = {"cleanup.policy": "compact", "segment.ms": str(7 * DAY), "delete.retention.ms": str(DAY)}


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"retention.ms": str(30 * DAY), "segment.ms": str(7 * DAY)}, ["30 days after", "7 days at most", "--rewrite"]),
        ({"retention.ms": "3600000", "segment.ms": "60000"}, ["3,600 seconds after", "60 seconds at most"]),
        ({"retention.ms": "-1", "segment.ms": str(DAY)}, ["never expire", "--rewrite"]),
        ({"cleanup.policy": "compact,delete", "retention.ms": str(DAY)}, ["1 day after"]),
        (
            COMPACTED | {"max.compaction.lag.ms": str(2**63 - 1), "min.cleanable.dirty.ratio": "0.3"},
            ["7 days at most", "min.cleanable.dirty.ratio 0.3", "set max.compaction.lag.ms", "1 day later"],
        ),
        (COMPACTED | {"max.compaction.lag.ms": str(3 * DAY)}, ["at the latest 3 days after", "1 day later"]),
        ({}, ["a time that the broker does not say"]),
    ],
)
def test_the_sentence_has_the_figures_of_the_broker(config: dict[str, str], words: list[str]) -> None:
    sentence = describe_retention(config)
    assert [one for one in words if one not in sentence] == []
