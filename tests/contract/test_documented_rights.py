"""The documented rights of commands that change histories suffice where changes of items go by way of the outbox.

On a Cluster all do; on a single Redis those of large events. The other rights are tested on secured servers.
"""

from contextlib import closing
from urllib.parse import urlsplit

import pytest

from state import Settings, StoreUnavailable
from state.store.redis.outbox import Outboxes
from state.store.redis.store import RedisStore
from tests.contract.conftest import RedisStores
from tests.contract.test_store import CLOCK, invoice
from tests.integration.documented_rights import redis_rights
from tests.services.choice import Service

BATCH = [invoice("1", 100, customer=name) for name in ("first", "c", "last")]


@pytest.mark.parametrize("server", ["redis", "redis_cluster"])
@pytest.mark.parametrize("command", ["rebuild", "rebuild --from-scratch", "erase"])
def test_a_command_may_drain_outboxes(
    command: str, server: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("state.store.redis.commit.MAX_CHANGES", 0)
    service = request.getfixturevalue(server)
    stores = RedisStores(service.address if isinstance(service, Service) else service)
    trusted = stores()
    with monkeypatch.context() as crash:  # a worker ended before it had drained the outboxes
        crash.setattr(Outboxes, "_apply", _crash)
        with pytest.raises(StoreUnavailable):
            trusted.apply(BATCH, clock_ms=CLOCK)
    everywhere = {"target_nodes": "primaries"} if server == "redis_cluster" else {}
    user = "test-of-rights"
    rules = ["reset", "on", "nopass", f"~{stores.namespace}:*", *redis_rights()[command]]
    if server == "redis_cluster":
        rules += ["+cluster|slots", "+command"]
    trusted._client.execute_command("ACL", "SETUSER", user, *rules, **everywhere)
    parts = urlsplit(stores.url)
    url = parts._replace(netloc=f"{user}:any@{parts.netloc}").geturl()
    try:
        with closing(RedisStore(Settings(redis_url=url, namespace=stores.namespace))) as store:
            if command == "erase":
                assert store.remove("c")
            else:
                if command == "rebuild --from-scratch":
                    store.empty()
                store.apply(BATCH, clock_ms=CLOCK)
                assert next(iter(trusted.items().states.values())).sold == 3
    finally:
        trusted._client.execute_command("ACL", "DELUSER", user, **everywhere)
        stores.close()


def _crash(*_: object) -> None:
    raise StoreUnavailable("the worker ended")
