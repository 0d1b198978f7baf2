"""Positions in the live stream, and events as text."""

import pytest

from stream.api.feed import FeedEvent, Position
from stream.api.live import event_text
from stream.api.problems import Problem
from tests.unit.api.shop import Shop

POSITION = Position({1: 5, 0: 12})


def test_a_position_is_the_id_of_an_event_and_is_read_back() -> None:
    assert str(POSITION) == "0:12,1:5"
    assert Position.parse("0:12,1:5").offsets == {0: 12, 1: 5}


@pytest.mark.parametrize("text", ["x", "0", "0:1,", "0:1:2", "-1:5", "0:-5", f"0:{2**64}", "0:1;1:2"])
def test_another_text_is_no_position(text: str) -> None:
    with pytest.raises(Problem, match="Last-Event-ID"):
        Position.parse(text)


def test_an_event_is_text_with_its_position() -> None:
    text = event_text(FeedEvent(0, 11, "anna", b'{"a":1}'), POSITION)
    assert text == b'id: 0:12,1:5\nevent: recommendation\ndata: {"a":1}\n\n'
    pretty = event_text(FeedEvent(0, 11, "anna", b'{\n"a":1}'), POSITION)
    assert pretty == b'id: 0:12,1:5\nevent: recommendation\ndata: {\ndata: "a":1}\n\n'
    deleted = event_text(FeedEvent(0, 11, "anna", None), POSITION)
    assert deleted == b'id: 0:12,1:5\nevent: deleted\ndata: {"customer_id":"anna"}\n\n'
    assert event_text(None, POSITION) == b": nothing new\nid: 0:12,1:5\n\n"


async def test_without_kafka_there_is_no_stream() -> None:
    async with Shop().client() as client:
        answer = await client.get("/v1/recommendations/stream")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
