"""What leaves keeps to the published schemas."""

import json
from pathlib import Path

import msgspec
from jsonschema import Draft202012Validator

from state.domain.recommendation import Recommendation
from stream.pipeline.scores import Score, score_schema
from tests.unit.stream.harness import Workbench, invoice

SCHEMAS = Path(__file__).parents[3] / "docs" / "schemas"


def test_the_published_schema_of_scores_is_that_of_the_code() -> None:
    page = json.loads((SCHEMAS / "recommendation-score.v1.json").read_text(encoding="utf-8"))
    assert page == score_schema(), "write what the code says into docs/schemas/recommendation-score.v1.json"


def test_messages_are_valid_by_their_schemas_and_read_back() -> None:
    bench = Workbench()
    bench.process(invoice("1", "7", "2011-12-01T10:00:00Z", "A", "B"), invoice("2", "zoë", "2011-12-01T10:00:00Z", "C"))
    bench.process(invoice("3", "7", "2011-12-09T10:00:00Z", "B", "C"))
    recommendations = Draft202012Validator(json.loads((SCHEMAS / "recommendation.v1.json").read_text(encoding="utf-8")))
    scores = Draft202012Validator(score_schema())
    assert len(bench.recommendations()) == 3
    for answer in bench.recommendations():
        recommendations.validate(answer)
    (found,) = bench.scores()
    scores.validate(found)
    for message in bench.published.messages:
        kind = Score if message.topic == bench.settings.topics.scores else Recommendation
        assert msgspec.json.encode(msgspec.json.decode(message.value or b"", type=kind)) == message.value
