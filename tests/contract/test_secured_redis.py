"""The store on a Cluster and behind Sentinels that let nobody in without TLS, a client certificate and a password."""

import itertools
import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest
from redis import Redis
from redis.exceptions import RedisError

from state.errors import PasswordRefused, StoreUnavailable
from state.events.wire import Decoder
from state.settings import Settings, load_settings
from state.store.redis.store import RedisStore
from tests.contract.cluster import Cluster, missing
from tests.integration.documented_rights import PAGE, redis_rights
from tests.services.authority import Authority
from tests.services.group import wait_until
from tests.services.process import free_port
from tests.services.secured import SecuredRedis
from tests.unit.stream.harness import CLOCK, invoice

pytestmark = pytest.mark.timeout(120)

LIMIT_S = 60.0
NAMESPACE = "shop"
USER, PASSWORD = "worker", "password-of-worker"
ASKER, ASKER_PASSWORD = "asker", "password-of-asker"
CUSTOMERS = [f"customer-{number}" for number in range(30)]


def more_rights(words: str) -> list[str]:
    """The rights in the sentence of the page that has these words."""
    match = re.search(rf"{re.escape(words)}[^`\n]*`([^`]+)`", PAGE.read_text(encoding="utf-8"))
    assert match, words
    return match[1].split()


class Server(SecuredRedis):
    """A server with the workers' user, who has the documented rights alone."""

    rights: tuple[str, ...] = ()

    def client(self) -> Redis:
        """A client with all rights."""
        return self.trusted()

    def _command(self) -> list[str]:
        user = (f">{PASSWORD}", f"~{NAMESPACE}:*", *redis_rights()["worker"], *self.rights)
        return [*super()._command(), "--tls-replication", "yes", "--user", USER, "on", *user]


class Node(Server):
    """A server of a Cluster, whose nodes talk to each other by TLS too."""

    def __init__(self, folder: Path, authority: Authority) -> None:
        super().__init__(folder, authority)
        self.bus_port = free_port()
        self.rights = tuple(more_rights("On a Cluster each user also needs"))

    def _command(self) -> list[str]:
        of_cluster = ("--cluster-enabled", "yes", "--cluster-port", str(self.bus_port), "--tls-cluster", "yes")
        return [*super()._command(), *of_cluster]


class Sentinel(Server):
    """A Sentinel with a user for workers; nobody else has a password."""

    def __init__(self, folder: Path, authority: Authority, primary: int) -> None:
        super().__init__(folder, authority)
        self._primary = primary

    def _command(self) -> list[str]:
        options = super()._command()[1:]
        tls = {name: value for name, value in itertools.pairwise(options) if name.startswith("--tls")}
        lines = [
            f"port 0\ndir {self.folder}",
            *(f"{name.removeprefix('--')} {value}" for name, value in tls.items()),
            f"sentinel monitor shop 127.0.0.1 {self._primary} 1",
            "sentinel down-after-milliseconds shop 5000",
            f"user {ASKER} on >{ASKER_PASSWORD} {' '.join(more_rights('needs the right'))}",
            "user default on >password-of-administrator +@all",
        ]
        file = self.folder / "sentinel.conf"
        file.write_text("\n".join(lines) + "\n")
        return [super()._command()[0], str(file), "--sentinel"]

    def trusted(self) -> Redis:
        """A client with all rights."""
        return Redis.from_url(self.url, password="password-of-administrator")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    if reason := missing():
        pytest.skip(reason)
    return Authority(tmp_path_factory.mktemp("authority"))


def settings(url: str, **more: str) -> Settings:
    variables = {"NEXTBASKET_REDIS_URL": url, "NEXTBASKET_REDIS_PASSWORD": PASSWORD, "NEXTBASKET_NAMESPACE": NAMESPACE}
    return load_settings(variables | {f"NEXTBASKET_{name.upper()}": value for name, value in more.items()})


def apply(store: RedisStore, day: int) -> None:
    """An invoice of each customer."""
    decoder = Decoder(Settings())
    events = [invoice(f"{each}-{day}", each, f"2011-12-0{day}T12:00:00Z", "TEA", f"X{day}") for each in CUSTOMERS]
    decoded = [decoder.decode(msgspec.json.encode(event), now=int(CLOCK)) for event in events]
    store.apply(decoded, clock_ms=int(CLOCK * 1000))


def invoices(store: RedisStore) -> set[int]:
    """The numbers of invoices that customers have."""
    histories = [store.history(each) for each in CUSTOMERS]
    return {0 if history is None else len(history.invoices) for history in histories}


@pytest.fixture
def cluster(authority: Authority, tmp_path: Path) -> Iterator[Cluster[Node]]:
    cluster = Cluster([Node(tmp_path / str(index), authority) for index in range(2)])
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


def test_a_cluster_with_tls_needs_the_documented_rights_alone_and_redirects_by_tls(cluster: Cluster[Node]) -> None:
    first, second = cluster.nodes
    url = f"rediss+cluster://{USER}@127.0.0.1:{first.port},127.0.0.1:{second.port}/?{first.options}"
    with closing(RedisStore(settings(url))) as store, first.trusted() as here, second.trusted() as there:
        store.probe()
        apply(store, 1)
        assert min(here.dbsize(), there.dbsize()) > 5
        # A slot moves: the client knows it at the first node, which sends it to the second.
        slot = here.execute_command("CLUSTER", "KEYSLOT", next(iter(here.scan_iter("shop:h:*"))))
        move(here, there, slot, second.port)
        apply(store, 2)
        assert invoices(store) == {2}
        assert there.execute_command("CLUSTER", "COUNTKEYSINSLOT", slot)
    for node in cluster.nodes:
        assert node.denied() == set()


def move(here: Any, there: Any, slot: int, port: int) -> None:
    """Move a slot from one node to another."""
    ids = {client: bytes(client.execute_command("CLUSTER", "MYID")).decode() for client in (here, there)}
    there.execute_command("CLUSTER", "SETSLOT", slot, "IMPORTING", ids[here])
    here.execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", ids[there])
    keys = here.execute_command("CLUSTER", "GETKEYSINSLOT", slot, 100)
    here.execute_command("MIGRATE", "127.0.0.1", port, "", 0, 5_000, "KEYS", *keys)
    for client in (there, here):
        client.execute_command("CLUSTER", "SETSLOT", slot, "NODE", ids[there])


@pytest.fixture
def sentinel(authority: Authority, tmp_path: Path) -> Iterator[tuple[Sentinel, Server]]:
    """A Sentinel and the replica of the primary that it watches."""
    primary, replica = (Server(tmp_path / name, authority) for name in ("primary", "replica"))
    watching = Sentinel(tmp_path / "sentinel", authority, primary.port)
    started: list[Server] = []
    try:
        for server in (primary, replica):
            server.start()
            started.append(server)
        with replica.trusted() as client:
            client.replicaof("127.0.0.1", str(primary.port))
            wait_until(lambda: client.info("replication")["master_link_status"] == "up", "it follows", LIMIT_S)
        watching.start()
        started.append(watching)
        yield watching, replica
    finally:
        for server in reversed(started):
            server.stop()


def test_sentinels_have_tls_and_a_password_of_their_own(sentinel: tuple[Sentinel, Server]) -> None:
    watching, replica = sentinel
    url = f"rediss+sentinel://{USER}@127.0.0.1:{watching.port}/shop/0?{watching.options}"
    asker = {"sentinel_username": ASKER, "sentinel_password": ASKER_PASSWORD}
    for wrong in ({}, asker | {"sentinel_password": "wrong-password"}):
        with closing(RedisStore(settings(url, **wrong))) as store:
            with pytest.raises(PasswordRefused, match="NEXTBASKET_SENTINEL_PASSWORD") as refused:
                store.now()
            assert "wrong-password" not in str(refused.value)
    with closing(RedisStore(settings(f"{url}&sentinel_ssl=false", **asker))) as store, pytest.raises(StoreUnavailable):
        store.now()
    with closing(RedisStore(settings(url, **asker))) as store, watching.trusted() as client:
        store.probe()
        apply(store, 1)
        wait_until(lambda: fails_over(client), "the failover begins", LIMIT_S)
        wait_until(lambda: primary_port(client) == replica.port, "the replica is promoted", LIMIT_S)
        wait_until(lambda: answers(store), "the store reaches the new primary", LIMIT_S)
        apply(store, 2)
        assert invoices(store) == {2}
    assert replica.denied() == set()


def fails_over(client: Any) -> bool:
    try:
        return bool(client.execute_command("SENTINEL", "FAILOVER", "shop"))
    except RedisError:  # no replica is known yet
        return False


def primary_port(client: Any) -> int:
    return int(client.sentinel_get_master_addr_by_name("shop")[1])


def answers(store: RedisStore) -> bool:
    try:
        store.now()
        store.probe()
    except StoreUnavailable:
        return False
    return True
