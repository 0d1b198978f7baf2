"""The configuration of Kafka Connect that is documented, run by Kafka Connect."""

import re
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from state.domain.due import DueCustomer
from state.domain.recommendation import ModelVersion
from state.settings import Settings
from stream.kafka.publisher import KafkaPublisher
from stream.kafka.topics import due_topic, ensure_topics
from stream.pipeline.due import publish_due
from tests.integration.topic import read_topic
from tests.services.choice import Service
from tests.services.connect import ConnectServer, missing_tools
from tests.services.group import wait_until

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "market-to-who-is-due.md"
FENCE = re.compile(r"^```(properties|json)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
DATE = "2011-12-09T12:50:00Z"

pytestmark = [pytest.mark.durable, pytest.mark.timeout(180)]


class Nobody:
    """A log of who was sent, in which nobody was."""

    def unsent(self, day: str, customer_ids: list[str]) -> list[str]:
        return customer_ids

    def record(self, day: str, customer_ids: list[str]) -> None:
        pass


def due(customer_id: str) -> DueCustomer:
    return DueCustomer(
        due_id=f"due {customer_id}", customer_id=customer_id, at=DATE, within_days=7, valid_until=DATE, chance=0.5,
        due_date=None, last_purchase=DATE, days_since=0, purchases=1, basket_value=1.0, expected_value=0.5,
        model=ModelVersion("m", "1"), items=[], rules=None, attributes={"country": "Île\tde France"},
    )  # fmt: skip


def blocks() -> list[tuple[str, str]]:
    """The files on the page, each with its kind."""
    section = PAGE.read_text(encoding="utf-8").partition("## With Kafka Connect\n")[2].partition("\n## ")[0]
    return FENCE.findall(section)


def replaced(text: str, replacements: dict[str, str]) -> str:
    """A file of the page with the places of this machine; each must be in it."""
    for old, new in replacements.items():
        assert old in text, old
        text = text.replace(old, new)
    return text


@pytest.mark.skipif(bool(missing_tools()), reason=f"needs {missing_tools()}")
def test_the_documented_sink_gets_the_topic_as_it_is(settings: Settings, kafka: Service, tmp_path: Path) -> None:
    (_, properties), (_, connector), (_, over_http) = blocks()
    topic, output = settings.topics.due, tmp_path / "due.jsonl"
    ensure_topics(settings, [due_topic(settings)])
    with closing(KafkaPublisher(settings)) as publisher:
        log: Any = Nobody()
        publish_due([due("zoë"), due("12680")], publisher, topic, log, "/nextbasket")
    worker = replaced(
        properties,
        {"localhost:9092": kafka.address, "/opt/connectors": "", "/var/lib/connect/offsets": f"{tmp_path}/offsets"},
    )
    sink = replaced(connector, {'"due-customers",': f'"{topic}",', "/var/lib/connect/due-customers.jsonl": str(output)})
    connect = ConnectServer(worker, [sink])
    connect.start()
    try:
        wait_until(lambda: output.exists() and len(output.read_bytes().splitlines()) == 2, "both arrive", 60)
        with closing(KafkaPublisher(settings)) as publisher:
            publish_due([due("later")], publisher, topic, log, "/nextbasket")
        wait_until(lambda: len(output.read_bytes().splitlines()) == 3, "the next one arrives", 60)
    finally:
        connect.stop()
    sent = {message.value() for message in read_topic(kafka.address, topic)}
    assert set(output.read_bytes().splitlines()) == sent
    assert {msgspec.json.decode(value)["customer_id"] for value in sent} == {"zoë", "12680", "later"}
    # The other example differs in the connector only.
    tested, other = (msgspec.json.decode(each) for each in (connector, over_http))
    assert tested["name"] == other["name"]
    assert {name: tested["config"][name] for name in ("topics", "tasks.max")} == {
        name: value for name, value in other["config"].items() if not name.startswith(("connector", "http."))
    }
