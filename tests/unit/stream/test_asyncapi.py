"""The AsyncAPI document has the topics, the schemas and the headers that the code has."""

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator
from referencing import Registry, Resource

from state.domain.due import DueCustomer
from state.domain.recommendation import ModelVersion
from state.settings import load_settings
from stream.kafka.topics import due_topic, wanted_topics
from stream.messages import Message
from stream.pipeline.dead_letters import OWN_HEADERS, without_event_headers, without_value
from stream.pipeline.due import publish_due
from stream.pipeline.memory_publisher import MemoryPublisher
from tests.unit.stream.harness import ProcessorHarness, invoice

SCHEMAS = Path(__file__).parents[3] / "docs" / "schemas"
BASE = "file:///asyncapi.yaml"
DOCUMENT: dict[str, Any] = yaml.safe_load((SCHEMAS / "asyncapi.yaml").read_text(encoding="utf-8"))
MESSAGES: dict[str, dict[str, Any]] = DOCUMENT["components"]["messages"]
EXAMPLES = [(name, number) for name, each in MESSAGES.items() for number in range(len(each.get("examples", ())))]
PARENT = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@cache
def registry() -> Registry[Any]:
    files = {path.name: json.loads(path.read_text(encoding="utf-8")) for path in SCHEMAS.glob("*.json")}
    # Of JSON Schema only as far as ``$ref`` goes: AsyncAPI is no dialect of it.
    resources = [(f"file:///{name}", Resource.from_contents(content)) for name, content in files.items()]
    found: Registry[Any] = Registry().with_resources([*resources, (BASE, Resource.opaque(DOCUMENT))])
    return found


def resolved(reference: str) -> Any:
    return registry().resolver(BASE).lookup(reference).contents


def nodes(node: Any) -> Iterator[dict[str, Any]]:
    """Every object of a document."""
    if isinstance(node, dict):
        yield node
    for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from nodes(child)


def validator(message: str, part: str) -> Draft202012Validator:
    """Checks the payload or the headers of a message."""
    schema = {"$ref": f"{BASE}#/components/messages/{message}/{part}"}
    return Draft202012Validator(schema, registry=registry())


def validate(name: str, message: Message) -> None:
    """Check a published message against the document."""
    validator(name, "headers").validate({key: value.decode() for key, value in message.headers})
    if message.value is not None:
        validator(name, "payload").validate(json.loads(message.value))


def test_it_has_every_topic_and_no_other() -> None:
    settings = load_settings({})
    topics = {topic.topic: topic for topic in [*wanted_topics(settings), due_topic(settings)]}
    channels = {channel["address"]: channel for channel in DOCUMENT["channels"].values()}
    assert len(channels) == len(DOCUMENT["channels"])
    assert set(channels) == set(topics)
    for name, topic in topics.items():
        binding = channels[name]["bindings"]["kafka"]
        assert binding["topicConfiguration"]["cleanup.policy"] == [(topic.config or {})["cleanup.policy"]], name
        assert binding.get("partitions") == (1 if topic.num_partitions == 1 else None), name


def test_every_reference_resolves_and_every_schema_is_referenced() -> None:
    references = {node["$ref"] for node in nodes(DOCUMENT) if isinstance(node.get("$ref"), str)}
    for reference in references:
        assert isinstance(resolved(reference), dict), reference
    assert {each for each in references if not each.startswith("#")} == {
        f"./{path.name}" for path in SCHEMAS.glob("*.json")
    }
    defined = {f"#/components/{kind}/{name}" for kind, named in DOCUMENT["components"].items() for name in named}
    assert defined <= references


def test_it_is_structured_as_asyncapi_3() -> None:
    assert DOCUMENT["asyncapi"] == "3.0.0"
    assert {"title", "version"} <= set(DOCUMENT["info"])
    assert set(DOCUMENT) <= {
        "asyncapi",
        "info",
        "defaultContentType",
        "servers",
        "channels",
        "operations",
        "components",
    }
    described = set()
    for name, operation in DOCUMENT["operations"].items():
        assert set(operation) == {"action", "channel", "messages"}
        assert name.startswith(operation["action"])
        channel = operation["channel"]["$ref"]
        described.add(channel)
        # A message of an operation is one of its channel, not one of the components.
        assert {each["$ref"] for each in operation["messages"]} == {
            f"{channel}/messages/{each}" for each in resolved(channel)["messages"]
        }
    assert described == {f"#/channels/{name}" for name in DOCUMENT["channels"]}
    for message in MESSAGES.values():
        assert set(message) <= {"title", "summary", "contentType", "headers", "payload", "bindings", "examples"}
        assert {"title", "summary", "payload"} <= set(message)


@pytest.mark.parametrize(("message", "number"), EXAMPLES)
def test_an_example_matches_its_schemas(message: str, number: int) -> None:
    example = MESSAGES[message]["examples"][number]
    validator(message, "payload").validate(example["payload"])
    if "headers" in example:
        validator(message, "headers").validate(example["headers"])


def test_every_message_but_a_tombstone_has_an_example_for_each_part() -> None:
    for name, message in MESSAGES.items():
        shown = {part for example in message.get("examples", ()) for part in example}
        assert shown == ({"name", "payload"} | {"headers"} & set(message) if not name.endswith("Deleted") else set()), (
            name
        )


def test_an_example_that_is_changed_does_not_match() -> None:
    headers = dict(MESSAGES["recommendation"]["examples"][0]["headers"])
    for wrong in (
        {**headers, "ce_type": "io.github.nextbasket.due-customer.v1"},
        {**headers, "ce_time": "yesterday"},
        {**headers, "traceparent": "00"},
        {name: value for name, value in headers.items() if name != "ce_id"},
    ):
        assert not validator("recommendation", "headers").is_valid(wrong), wrong
    assert not validator("recommendation", "payload").is_valid({"rec_id": "1"})


def named_headers(schema: dict[str, Any]) -> set[str]:
    """The headers that a schema names, with those of the schemas it refers to."""
    schema = resolved(schema["$ref"]) if "$ref" in schema else schema
    return set(schema.get("properties", ())).union(*map(named_headers, schema.get("allOf", ())))


def listed_headers() -> dict[str, set[str]]:
    """The headers on the page of events, of each topic of the table, and of dead letters."""
    page = (SCHEMAS.parent / "reference" / "events.md").read_text(encoding="utf-8")
    section = page.partition("\n## Headers\n")[2].partition("\n## ")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line[:1] == "|"]
    topics = [name.strip("`") for name in rows[0][1:]]
    listed = {
        topic: {name for cells in rows[2:] if cells[column] for name in re.findall(r"`([^`]+)`", cells[0])}
        for column, topic in enumerate(topics, 1)
    }
    letters = page.partition("\n## Dead letters\n")[2].partition("\n## ")[0]
    listed["invoices.dead-letter"] = set(re.findall(r"`([^`]+)`", letters)) & OWN_HEADERS
    return listed


def test_the_headers_that_are_documented_are_those_that_are_sent() -> None:
    harness = ProcessorHarness()
    trace = (("traceparent", PARENT), ("tracestate", b"a=1"))
    for number in "12":
        event = invoice(number, "zoë", f"2011-12-0{number}T10:00:00Z", "AB"[int(number) - 1], "C")
        harness.processor.process([harness.incoming(event, headers=trace)])
    harness.processor.process([harness.incoming(b"no JSON", headers=trace)])
    sent: dict[str, set[str]] = {}
    for message in harness.published.messages:
        sent.setdefault(message.topic, set()).update(name for name, _ in message.headers)
    sent["due-customers"] = {name for name, _ in due_message().headers}
    (letter,) = harness.dead_letters()
    shorter = without_value(without_event_headers(letter) or letter)
    assert sent["invoices.dead-letter"] >= {"traceparent", "tracestate"}  # of the event
    sent["invoices.dead-letter"] = {name for name, _ in (*letter.headers[:-2], *shorter.headers)}
    assert sent == listed_headers()
    messages = {
        "recommendations": "recommendation",
        "recommendation-scores": "score",
        "due-customers": "dueCustomer",
        "invoices.dead-letter": "deadLetter",
    }
    assert sent == {topic: named_headers(MESSAGES[name]["headers"]) for topic, name in messages.items()}


def test_published_messages_match_it() -> None:
    harness = ProcessorHarness(namespace="shop1")
    trace = (("traceparent", PARENT), ("tracestate", b"a=1"))
    for number, codes in enumerate(["AB", "BC"], 1):
        event = invoice(str(number), "zoë", f"2011-12-0{number}T10:00:00Z", *codes)
        harness.processor.process([harness.incoming(event, headers=trace)])
    harness.process(b"no JSON")
    recommendations, scores = harness.messages("shop1.recommendations"), harness.messages("shop1.recommendation-scores")
    assert (len(recommendations), len(scores)) == (2, 1)
    for message in recommendations:
        assert message.headers[-2:] == trace
        validate("recommendation", message)
    validate("score", scores[0])
    (letter,) = harness.dead_letters()
    for each in (letter, without_value(letter)):
        validator("deadLetter", "headers").validate({key: value.decode() for key, value in each.headers})


def test_due_customers_match_it() -> None:
    validate("dueCustomer", due_message())


def due_message() -> Message:
    """The message of a due customer."""

    class Log:
        def unsent(self, day: str, customer_ids: list[str]) -> list[str]:
            return customer_ids

        def record(self, day: str, customer_ids: list[str]) -> None:
            pass

    date = "2011-12-09T12:50:00Z"
    customer = DueCustomer(
        due_id="1", customer_id="7", at=date, within_days=7, valid_until=date, chance=0.5, due_date=None,
        last_purchase=date, days_since=0, purchases=1, basket_value=1.0, expected_value=0.5,
        model=ModelVersion("m", "1"), items=[], rules=None, attributes={},
    )  # fmt: skip
    publisher = MemoryPublisher()
    publish_due([customer], publisher, "due-customers", Log(), "/nextbasket")  # type: ignore[arg-type]
    (message,) = publisher.messages
    return message
