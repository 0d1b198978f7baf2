"""What Kafka still has of an erased customer, and until when, read from the configurations of the topics."""

from collections.abc import Mapping

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
_NO_BOUND_MS = 100 * 365 * _DAY_MS
"""Kafka's default of ``max.compaction.lag.ms`` is beyond it."""


def remains_in_kafka(settings: Settings) -> list[Finding]:
    """A finding for each topic with records of customers: until when the broker has those written so far.

    Raises:
        SettingsError: No broker is set.
    """
    topics = settings.topics
    names = (topics.invoices, topics.dead_letter, topics.scores, topics.due, topics.recommendations, topics.customers)
    admin = AdminClient(confluent_config(settings, log_level=0))
    remains = {name: _remains(admin, name) for name in names}
    return [Finding(f"topic {name}", remains=sentence) for name, sentence in remains.items() if sentence]


def _remains(admin: AdminClient, name: str) -> str:
    """What a topic still has, in one sentence; empty where there is no such topic."""
    try:
        if name not in visible_topics(admin, (name,), timeout_s=_TIMEOUT_S):
            return ""
        resource = ConfigResource(ResourceType.TOPIC, name)
        asked = admin.describe_configs([resource], request_timeout=_TIMEOUT_S)
        return describe_retention({key: str(entry.value) for key, entry in asked[resource].result().items()})
    except RightMissing as error:
        return f"When its records expire is not known: {error}"
    except KafkaException as error:
        return f"When its records expire is not known: its configuration cannot be read ({error.args[0].str()})."


def describe_retention(config: Mapping[str, str]) -> str:
    """Until when a topic with this configuration has what was written, and then deleted, in words."""
    roll = _span(config.get("segment.ms", ""))
    if config.get("cleanup.policy", "delete") == "compact":
        lag = config.get("max.compaction.lag.ms", "")
        if lag.isdecimal() and int(lag) < _NO_BOUND_MS:
            when = f"at the latest {_span(lag)} after they were written, once something else is written"
        else:
            when = (
                f"once their segment is closed ({roll} at most, when something else is written) and enough of the log "
                f"is such records (min.cleanable.dirty.ratio {config.get('min.cleanable.dirty.ratio', '0.5')}); set "
                "max.compaction.lag.ms for a bound"
            )
        return (
            f"A tombstone deletes the record. Earlier ones leave the disk {when}. The tombstone, whose key is the id, "
            f"goes with a compaction {_span(config.get('delete.retention.ms', ''))} later."
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
