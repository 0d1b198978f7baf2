"""All faults, by the kind of Redis that they can hit."""

from tests.faults.kinds.clocks import ClockJumps
from tests.faults.kinds.fault import Fault
from tests.faults.kinds.kafka import KafkaKilled, KafkaPaused, PartitionsAdded, TopicMadeAgain
from tests.faults.kinds.redis import (
    NodeEmptied,
    PrimaryHung,
    RedisFailsOver,
    RedisFlushed,
    RedisForbidden,
    RedisFull,
    RedisHung,
    RedisKilled,
    RedisLocked,
    SentinelFailsOver,
)
from tests.faults.kinds.registry import ModelDamaged, ModelPublished, ModelRolledBack, RegistryFull
from tests.faults.kinds.workers import WorkerJoins, WorkerKilled, WorkerPaused, WorkerStopped

ANYWHERE: tuple[type[Fault], ...] = (
    WorkerKilled,
    WorkerStopped,
    WorkerJoins,
    WorkerPaused,
    ClockJumps,
    KafkaKilled,
    KafkaPaused,
    PartitionsAdded,
    TopicMadeAgain,
    ModelPublished,
    ModelDamaged,
    ModelRolledBack,
    RegistryFull,
)
KINDS: dict[str, tuple[type[Fault], ...]] = {
    "single": (
        *ANYWHERE,
        RedisKilled,
        RedisHung,
        RedisFull,
        RedisForbidden,
        RedisLocked,
        RedisFlushed,
        RedisFailsOver,
    ),
    "cluster": (*ANYWHERE, RedisKilled, RedisHung, RedisFull, RedisFlushed, NodeEmptied),
    "sentinel": (*ANYWHERE, RedisFull, RedisFlushed, SentinelFailsOver, PrimaryHung),
}
"""The faults of each kind of Redis."""
