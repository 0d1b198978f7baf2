"""Whether a Redis may drop histories: its eviction policy, and whether it writes to disk."""

from typing import Any, NamedTuple

import redis
from redis.cluster import RedisCluster

NO_EVICTION = "noeviction"


class Durability(NamedTuple):
    """What one server does with the data when memory is full, and when it ends; None: it may not be asked.

    ``evicted``: keys that it has evicted since it started.
    """

    policy: str | None
    persistent: bool | None
    evicted: int | None = None


def read_durability(client: Any) -> list[Durability]:
    """The durability of the server, or of every primary of a Cluster.

    Raises:
        RedisError: Redis does not answer.
    """
    if isinstance(client, RedisCluster):
        nodes = client.get_primaries()  # type: ignore[no-untyped-call]
        return [_of_server(client.get_redis_connection(node)) for node in nodes]
    return [_of_server(client)]


def _of_server(client: Any) -> Durability:
    memory, persistence = _info(client, "memory"), _info(client, "persistence")
    policy = memory.get("maxmemory_policy") or _config(client, "maxmemory-policy")
    evicted = _info(client, "stats").get("evicted_keys")
    if persistence.get("aof_enabled"):
        return Durability(policy, True, evicted)
    append_only, snapshots = _config(client, "appendonly"), _config(client, "save")
    if append_only is None or snapshots is None:
        return Durability(policy, None, evicted)
    return Durability(policy, append_only == "yes" or bool(snapshots), evicted)


def _info(client: Any, section: str) -> dict[str, Any]:
    try:
        found: dict[str, Any] = client.info(section)
    except redis.exceptions.ResponseError:
        return {}
    return found


def _config(client: Any, name: str) -> str | None:
    """A parameter; None where the user may not ask, or a managed service has no such command."""
    try:
        found = client.config_get(name)
    except redis.exceptions.ResponseError:
        return None
    value = found.get(name, found.get(name.encode()))
    return value.decode() if isinstance(value, bytes) else value
