"""Translation of the errors of Redis, and the forms of its URL."""

from pathlib import Path
from typing import Any

import pytest
import redis
from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    ClusterDownError,
    MasterDownError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisClusterException,
    RedisError,
    ResponseError,
    TryAgainError,
)
from redis.sentinel import SentinelManagedConnection, SentinelManagedSSLConnection

from state import CustomerRefused, Settings, SettingsError, StoreRefused, StoreUnavailable
from state.store.redis.client import connect, translate_errors
from tests.services.process import free_port


@pytest.mark.parametrize(
    "error",
    [
        redis.ConnectionError("Connection refused"),
        redis.TimeoutError("Timeout reading from socket"),
        ConnectionResetError("reset"),
        ValueError("I/O operation on closed file."),
        BusyLoadingError("Redis is loading the dataset in memory"),
        ReadOnlyError("You can't write against a read only replica."),
        OutOfMemoryError("command not allowed when used memory > 'maxmemory'."),
        ClusterDownError("The cluster is down"),
        MasterDownError("Link with MASTER is down"),
        TryAgainError("Multiple keys request during rehashing of slot"),
        RedisClusterException("Redis Cluster cannot be connected."),
        ResponseError("BUSY Redis is busy running a script. You can only call SCRIPT KILL."),
        ResponseError("MISCONF Redis is configured to save RDB snapshots, but it's unable to persist to disk."),
        ResponseError("NOREPLICAS Not enough good replicas to write."),
        # In a script, Redis 6 puts the error of a command into the middle of its message.
        ResponseError("Error running script (call to f_1): @user_script:9: @user_script: 9: -OOM command not allowed"),
        ResponseError("Error running script (call to f_1): @user_script:9: -READONLY You can't write"),
        # The events are not at fault: somebody has to give a permission, or to end what another client does.
        NoPermissionError("this user has no permissions to run the 'evalsha' command"),
        ResponseError("unknown command 'EVALSHA'"),
        ResponseError("Error running script: Script killed by user with SCRIPT KILL."),
        ResponseError("UNKILLABLE Sorry the script already executed write commands."),
        ResponseError("the service is in maintenance"),
        ResponseError("NEXTBASKET 2 NOPERM No permissions to access a key"),
    ],
)
def test_temporary_errors_are_unavailable(error: Exception) -> None:
    with pytest.raises(StoreUnavailable, match="Redis"), translate_errors():
        raise error


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (AuthenticationError("invalid username-password pair: s3cret"), "refuses the user or password"),
        (ResponseError("Protocol error: unauthenticated multibulk length"), "refuses the user or password"),
        (ResponseError("WRONGTYPE Operation against a key"), "A key of the items holds something else"),
        (ResponseError("ERR user_script:35: Bad data format in input."), "A key of the items holds something else"),
    ],
)
def test_permanent_errors_are_refused(error: RedisError, words: str) -> None:
    with pytest.raises(StoreRefused, match=words) as caught, translate_errors({2: "customer x"}):
        raise error
    assert "s3cret" not in str(caught.value)
    assert not isinstance(caught.value, CustomerRefused)


@pytest.mark.parametrize(
    ("problem", "words"),
    [
        ("WRONGTYPE Operation", "The keys of customer x hold something else"),
        ("SCHEMA 7", "The history of customer x has schema 7: a newer version wrote it"),
        ("UNREADABLE OOM in input", "The keys of customer x hold something else"),
    ],
)
def test_refusals_of_a_customer_name_it(problem: str, words: str) -> None:
    with pytest.raises(CustomerRefused, match=words), translate_errors({2: "customer x"}):
        raise ResponseError(f"NEXTBASKET 2 {problem}")


def test_other_errors_are_not_translated() -> None:
    with pytest.raises(ValueError, match="no number"), translate_errors():
        raise ValueError("no number")


def test_a_missing_url_is_a_settings_error() -> None:
    with pytest.raises(SettingsError, match="set NEXTBASKET_REDIS_URL, for example redis://"):
        connect(Settings())


@pytest.mark.parametrize(
    "url",
    [
        "redis://:p@ss:w0rd@host:port/0",
        "redis+cluster://:w0rd@/",
        "redis+sentinel://:w0rd@host",
        "redis+sentinel://:w0rd@/shop",
        "redis://[w0rd/0",
    ],
)
def test_an_unreadable_url_is_not_shown(url: str) -> None:
    with pytest.raises(SettingsError, match="NEXTBASKET_REDIS_URL cannot be read") as caught:
        connect(Settings(redis_url=url))
    assert "w0rd" not in str(caught.value)


@pytest.fixture
def certificate(tmp_path: Path) -> str:
    file = tmp_path / "ca.pem"
    file.touch()
    return str(file)


def test_urls_of_one_server(certificate: str) -> None:
    for url, words in (
        ("redis://user:pass@host:7000/3", {"host": "host", "port": 7000, "db": 3, "username": "user"}),
        ("unix:///run/redis.sock?db=1", {"path": "/run/redis.sock", "db": 1}),
        (f"rediss://host?ssl_ca_certs={certificate}", {"host": "host", "ssl_ca_certs": certificate}),
    ):
        client = connect(Settings(redis_url=url, redis_password="other"))
        assert isinstance(client, redis.Redis)
        options = client.connection_pool.connection_kwargs
        assert {name: options[name] for name in words} == words
        assert options["password"] == ("pass" if "pass" in url else "other")
        client.close()


def test_a_url_of_sentinels_has_the_credentials_of_the_servers(certificate: str) -> None:
    for url, password, database in (
        (f"rediss+sentinel://user:pass@one:1,two/shop/3?ssl_ca_certs={certificate}", "pass", 3),
        ("redis+sentinel://one/shop", "other", 0),
    ):
        client = connect(Settings(redis_url=url, redis_password="other"))
        assert isinstance(client, redis.Redis)
        pool: Any = client.connection_pool
        assert pool.service_name == "shop"
        assert (pool.connection_kwargs["password"], pool.connection_kwargs.get("db", 0)) == (password, database)
        assert pool.connection_class is (SentinelManagedSSLConnection if "rediss" in url else SentinelManagedConnection)
        ports = [one.connection_pool.connection_kwargs["port"] for one in pool.sentinel_manager.sentinels]
        assert ports == ([1, 26379] if "two" in url else [26379])
        client.close()


def test_a_stopped_cluster_is_unavailable() -> None:
    with pytest.raises(StoreUnavailable):
        connect(Settings(redis_url=f"redis+cluster://127.0.0.1:{free_port()},127.0.0.1:{free_port()}"))
