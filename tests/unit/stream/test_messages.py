"""Published messages match the published schemas."""

import json
from pathlib import Path

import msgspec
from jsonschema import Draft202012Validator

from state.domain.recommendation import Recommendation
from stream.pipeline.scores import Score, score_schema
from tests.unit.stream.harness import ProcessorHarness, invoice

SCHEMAS = Path(__file__).parents[3] / "docs" / "schemas"


def test_the_published_schema_of_scores_is_up_to_date() -> None:
    page = json.loads((SCHEMAS / "recommendation-score.v1.json").read_text(encoding="utf-8"))
    assert page == score_schema(), "write score_schema() to docs/schemas/recommendation-score.v1.json"


def test_messages_match_their_schemas_and_decode_to_themselves() -> None:
    harness = ProcessorHarness()
    harness.process(
        invoice("1", "7", "2011-12-01T10:00:00Z", "A", "B"), invoice("2", "zoë", "2011-12-01T10:00:00Z", "C")
    )
    harness.process(invoice("3", "7", "2011-12-09T10:00:00Z", "B", "C"))
    recommendations = Draft202012Validator(json.loads((SCHEMAS / "recommendation.v1.json").read_text(encoding="utf-8")))
    scores = Draft202012Validator(score_schema())
    assert len(harness.recommendations()) == 3
    for answer in harness.recommendations():
        recommendations.validate(answer)
    (found,) = harness.scores()
    scores.validate(found)
    for message in harness.published.messages:
        kind = Score if message.topic == harness.settings.topics.scores else Recommendation
        assert msgspec.json.encode(msgspec.json.decode(message.value or b"", type=kind)) == message.value
