import pytest
from confluent_kafka.admin import AdminClient

from state.errors import SettingsError
from state.settings import load_settings
from stream.errors import BrokerUnavailable
from stream.kafka.topics import due_topic, ensure_topics, wanted_topics
from stream.tools.embedded import embedded_kafka
from tests.services.process import free_port

DAY_MS = 86_400_000


def test_topic_configurations() -> None:
    settings = load_settings(
        {
            "NEXTBASKET_NAMESPACE": "shop1",
            "NEXTBASKET_PARTITIONS": "12",
            "NEXTBASKET_REPLICATION": "3",
            "NEXTBASKET_RETENTION_DAYS": "30",
        }
    )
    topics = {topic.topic: topic for topic in wanted_topics(settings)}
    assert list(topics) == [
        "shop1.invoices",
        "shop1.invoices.dead-letter",
        "shop1.recommendation-scores",
        "shop1.recommendations",
        "shop1.items",
        "shop1.customers",
        "shop1.rules",
    ]
    assert {topic.replication_factor for topic in topics.values()} == {3}
    single = {name for name, topic in topics.items() if topic.num_partitions == 1}
    assert single == {"shop1.items", "shop1.rules", "shop1.customers"}
    assert {topic.num_partitions for name, topic in topics.items() if name not in single} == {12}
    configs = {name.removeprefix("shop1."): topic.config or {} for name, topic in topics.items()}
    assert configs["invoices"] == {
        "cleanup.policy": "delete",
        "retention.ms": str(30 * DAY_MS),
        "max.message.bytes": "1048588",  # Kafka's default
    }
    assert configs["invoices.dead-letter"]["retention.ms"] == str(365 * DAY_MS)
    assert int(configs["invoices.dead-letter"]["max.message.bytes"]) > 10 * 1_048_588
    assert {name for name, config in configs.items() if config["cleanup.policy"] == "compact"} == {
        "recommendations",
        "items",
        "rules",
        "customers",
    }


def test_zero_days_of_retention_means_without_a_limit() -> None:
    topics = wanted_topics(load_settings({"NEXTBASKET_RETENTION_DAYS": "0"}))
    assert {(topic.config or {}).get("retention.ms") for topic in topics} == {"-1", None}


def test_the_topic_of_due_customers_is_created_where_it_is_written_only() -> None:
    settings = load_settings({"NEXTBASKET_NAMESPACE": "shop1", "NEXTBASKET_RETENTION_DAYS": "30"})
    topic = due_topic(settings)
    assert topic.topic == "shop1.due-customers"
    assert topic.topic not in {each.topic for each in wanted_topics(settings)}
    assert topic.config == {"cleanup.policy": "delete", "retention.ms": str(30 * DAY_MS)}
    with embedded_kafka() as brokers:
        found = ensure_topics(load_settings({"NEXTBASKET_KAFKA_BROKERS": brokers}), [topic])
    assert found == ["shop1.due-customers"]


def test_the_embedded_broker_creates_the_topics() -> None:
    with embedded_kafka() as brokers:
        settings = load_settings({"NEXTBASKET_KAFKA_BROKERS": brokers})
        assert len(ensure_topics(settings)) == 7
        assert ensure_topics(settings) == []
        found = AdminClient({"bootstrap.servers": brokers}).list_topics(timeout=10).topics
        assert {topic.topic for topic in wanted_topics(settings)} <= set(found)


def test_the_error_names_an_unavailable_broker() -> None:
    address = f"127.0.0.1:{free_port()}"
    with pytest.raises(BrokerUnavailable, match=address):
        ensure_topics(load_settings({"NEXTBASKET_KAFKA_BROKERS": address}), timeout_s=0.3)
    with pytest.raises(SettingsError):
        ensure_topics(load_settings({}))
