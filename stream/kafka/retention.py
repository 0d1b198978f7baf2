"""What Kafka still has of an erased customer, and until when, read from the configurations of the topics."""

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import ConfigResource
from confluent_kafka.admin._resource import ResourceType

from state.domain.receipt import Finding
from state.settings import Settings
from state.wording import count
from stream.errors import RightMissing
from stream.kafka.config import confluent_config
from stream.kafka.topics import visible_topics

_TIMEOUT_S = 5.0
_DAY_MS = 86_400_000


def remains_in_kafka(settings: Settings) -> list[Finding]:
    """A finding for each topic with records of customers: until when the broker has those written so far.

    Raises:
        SettingsError: No broker is set.
    """
    topics = settings.topics
    names = (topics.invoices, topics.dead_letter, topics.scores, topics.due, topics.recommendations)
    admin = AdminClient(confluent_config(settings, log_level=0))
    try:
        existing = visible_topics(admin, names, timeout_s=_TIMEOUT_S)
        wanted = {name: ConfigResource(ResourceType.TOPIC, name) for name in names if name in existing}
        asked = admin.describe_configs(list(wanted.values()), request_timeout=_TIMEOUT_S)
    except RightMissing as error:
        return [Finding("topics", remains=str(error))]
    except KafkaException as error:
        return [Finding("topics", remains=f"The brokers could not be asked ({error.args[0].str()}).")]
    findings = []
    for name, resource in wanted.items():
        try:
            config = {key: str(entry.value) for key, entry in asked[resource].result().items()}
        except KafkaException as error:
            remains = f"Its configuration cannot be read ({error.args[0].str()})."
        else:
            remains = _sentence(config)
        findings.append(Finding(f"topic {name}", remains=remains))
    return findings


def _sentence(config: dict[str, str]) -> str:
    roll = _span(config.get("segment.ms", ""))
    if config.get("cleanup.policy", "delete") == "compact":
        return (
            "Deleted by a tombstone: earlier records go when the log is compacted, after the segment is closed "
            f"({roll} at most), and the tombstone {_span(config.get('delete.retention.ms', ''))} later."
        )
    retention = config.get("retention.ms", "")
    if retention == "-1":
        return (
            "Records never expire (retention.ms is -1); nextbasket erase --rewrite deletes those of erased customers."
        )
    return (
        f"Records expire {_span(retention)} after they were written, once their segment is closed ({roll} at most); "
        "nextbasket erase --rewrite deletes those of erased customers before."
    )


def _span(milliseconds: str) -> str:
    if not milliseconds.isdecimal():
        return "a time that the broker does not say"
    value = int(milliseconds)
    return count(value // _DAY_MS, "day") if value >= _DAY_MS else count(value // 1000, "second")
