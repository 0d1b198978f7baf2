"""Connects to Redis, one server or a Cluster, and translates its errors to those of ``state``."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import msgspec
import redis
from redis.backoff import ConstantBackoff
from redis.cluster import ClusterNode, RedisCluster
from redis.connection import parse_url
from redis.maint_notifications import MaintNotificationsConfig
from redis.retry import Retry
from redis.sentinel import MasterNotFoundError

from state.errors import (
    CertificateRefused,
    CustomerRefused,
    PasswordRefused,
    SettingsError,
    StateError,
    StoreForbids,
    StoreRefused,
    StoreUnavailable,
)
from state.settings import Settings
from state.store.redis.sentinels import primary_client
from state.tls import certificate_problem

CONNECT_TIMEOUT_S = 3.0
READ_TIMEOUT_S = 15.0
"""Long enough for a batch on the largest histories, short enough to notice a dead server."""

_AUTHENTICATION_FAILED = "Redis refuses the user or password; see NEXTBASKET_REDIS_PASSWORD."
_SENTINEL_REFUSES = (
    "A Sentinel refuses the user or password; see NEXTBASKET_SENTINEL_USERNAME and NEXTBASKET_SENTINEL_PASSWORD."
)
_CERTIFICATES = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
"""The options of a URL that name files."""
_SENTINEL_SSL = "sentinel_ssl"
"""The option of a URL of Sentinels that do not use TLS."""
_CLIENT_CERTIFICATE = "ssl_certfile and ssl_keyfile in NEXTBASKET_REDIS_URL"
_OF_CUSTOMER = ("WRONGTYPE", "SCHEMA ", "UNREADABLE ")
"""How the reasons of the scripts begin where the keys of a customer are the cause."""
_FAILED_SCRIPT = ("attempt to ", "bad argument", "Bad data format", "Missing bytes")
"""Parts of Lua's errors; outside of a customer's keys they come from foreign bytes among the items."""
_CLOSED = "I/O operation on closed file"
"""What redis-py raises where another thread closes the connection of a call."""
_FORBIDDEN = ("NOPERM", "can't run this command", "unknown command", "no permissions", "can't access at least one of")
"""Parts of the errors of a missing permission, or of a command that the server does not offer."""


def require_url(settings: Settings) -> None:
    """Check that a Redis is set.

    Raises:
        SettingsError: None is.
    """
    if not settings.redis_url:
        raise SettingsError("No Redis is set; set NEXTBASKET_REDIS_URL, for example redis://localhost:6379/0.")


def connect(settings: Settings, *, read_timeout_s: float = READ_TIMEOUT_S) -> redis.Redis | RedisCluster:
    """A client for the configured Redis. A single server is not contacted yet; a Cluster is asked for its nodes.

    Raises:
        SettingsError: No URL is set, or it cannot be parsed.
        StoreUnavailable, StoreRefused: The Cluster does not answer, or refuses.
    """
    require_url(settings)
    options: dict[str, Any] = {
        "decode_responses": False,
        "protocol": 2,
        "socket_connect_timeout": CONNECT_TIMEOUT_S,
        "socket_timeout": read_timeout_s,
        # One retry on a new connection, in case the server closed the old one; the worker does the waiting.
        "retry": Retry(ConstantBackoff(0.05), 1),
        # Only Redis' cloud supports these notifications; without this every connection would ask for them.
        "maint_notifications_config": MaintNotificationsConfig(enabled=False),
    }
    if password := settings.redis_password.get_secret_value():
        options["password"] = password
    scheme = settings.redis_url.partition("://")[0]
    try:
        _require_certificates(settings.redis_url)
        if scheme.endswith("+sentinel"):
            return _connect_by_sentinels(scheme.removesuffix("+sentinel"), settings, options)
        if not scheme.endswith("+cluster"):
            return redis.Redis.from_url(settings.redis_url, **options)
        return _connect_cluster(scheme.removesuffix("+cluster"), settings.redis_url, options)
    except ValueError:  # its text may contain a part of the password
        raise SettingsError(
            "NEXTBASKET_REDIS_URL cannot be read; it looks like redis://user:password@host:6379/0, "
            "with special characters in the password percent-encoded."
        ) from None


def _require_certificates(url: str) -> None:
    """Check that the certificates in the options of a URL can be read.

    Raises:
        SettingsError: One cannot; otherwise the server would seem to be unavailable.
    """
    for name, value in parse_qsl(urlsplit(url).query):
        if name in _CERTIFICATES:
            try:
                Path(value).open("rb").close()
            except OSError as error:
                raise SettingsError(
                    f"NEXTBASKET_REDIS_URL names {value} in {name}, which cannot be read ({error.strerror})."
                ) from error


def _connect_cluster(scheme: str, url: str, options: dict[str, Any]) -> RedisCluster:
    """``redis+cluster://[user:password@]host:port[,host:port…][?option=…]``: each node knows the others."""
    parts = urlsplit(url)
    credentials, at, hosts = parts.netloc.rpartition("@")
    nodes = [ClusterNode(host, port) for host, port in _addresses(hosts, 6379)]  # type: ignore[no-untyped-call]
    # redis-py reads user, password and options from a URL of one host.
    first = urlunsplit((scheme, f"{credentials}{at}{hosts.split(',')[0]}", "", parts.query, ""))
    with translate_errors():
        return RedisCluster.from_url(first, startup_nodes=nodes, **options)


def _connect_by_sentinels(scheme: str, settings: Settings, options: dict[str, Any]) -> redis.Redis:
    """``redis+sentinel://[user:password@]host:port[,host:port…]/service[/database][?option=…]``.

    User and password of the URL are those of the servers; Sentinels have their own in the settings. With ``rediss``
    both are asked by TLS with the same certificates, unless ``sentinel_ssl=false`` is among the options.
    """
    parts = urlsplit(settings.redis_url)
    query = parse_qsl(parts.query, keep_blank_values=True)
    plain_sentinels = _plain_sentinels(query)
    credentials, at, hosts = parts.netloc.rpartition("@")
    service, _, database = parts.path.strip("/").partition("/")
    if not service:
        raise ValueError("no service")
    # redis-py reads user, password and options from a URL of one server.
    of_servers = urlencode([pair for pair in query if pair[0] != _SENTINEL_SSL])
    server = urlunsplit((scheme, f"{credentials}{at}server", f"/{database or 0}", of_servers, ""))
    of_server: dict[str, Any] = parse_url(server)  # type: ignore[no-untyped-call]
    for name in ("host", "port", "connection_class"):
        of_server.pop(name, None)
    if scheme == "rediss":
        of_server["ssl"] = True
    of_sentinel = {name: options[name] for name in ("socket_connect_timeout", "maint_notifications_config", "retry")}
    of_sentinel["socket_timeout"] = CONNECT_TIMEOUT_S
    if scheme == "rediss" and not plain_sentinels:
        of_sentinel |= {name: value for name, value in of_server.items() if name.startswith("ssl")}
    if password := settings.sentinel_password.get_secret_value():
        of_sentinel |= {"username": settings.sentinel_username or None, "password": password}
    return primary_client(_addresses(hosts, 26379), service, of_sentinel, options | of_server)


def _plain_sentinels(query: Sequence[tuple[str, str]]) -> bool:
    """Whether Sentinels are asked without TLS, where the servers use it.

    Raises:
        ValueError: The option is neither true nor false.
    """
    value = dict(query).get(_SENTINEL_SSL, "true").lower()
    if value not in ("true", "false"):
        raise ValueError(f"{_SENTINEL_SSL} is neither true nor false")
    return value == "false"


def _addresses(hosts: str, default_port: int) -> list[tuple[str, int]]:
    found = []
    for host in hosts.split(","):
        one = urlsplit(f"redis://{host}")
        if not one.hostname:
            raise ValueError("no host")
        found.append((one.hostname, one.port or default_port))
    return found


@contextmanager
def translate_errors(
    names: dict[int, str] | None = None, client: Any = None, *, key: str | None = None
) -> Iterator[None]:
    """Translates errors of redis-py and of the decoders to ``StoreUnavailable`` or ``StoreRefused``.

    ``names``: the customer of each number in the errors of the scripts (``NEXTBASKET 3 …``).
    ``client``: loses its connections where Redis is unavailable. After a failover behind an address, the old primary is
    a replica that keeps the connections open; only a new one reaches the new primary.
    ``key``: the key that a command outside of the scripts reads, in words, unless it is a key of the items.
    """
    try:
        with _translated(names or {}, key):
            yield
    except StoreUnavailable:
        if client is not None:
            disconnect(client)
        raise


def disconnect(client: Any) -> None:
    """Close the connections of a client; the next call makes a new one."""
    if isinstance(client, RedisCluster):
        client.disconnect_connection_pools()  # type: ignore[no-untyped-call]
    else:
        client.connection_pool.disconnect()


@contextmanager
def _translated(names: dict[int, str], key: str | None) -> Iterator[None]:
    try:
        yield
    except redis.exceptions.AuthenticationError:
        raise PasswordRefused(_AUTHENTICATION_FAILED) from None  # its text may contain the password
    except MasterNotFoundError as error:
        if "AuthenticationError" in str(error):
            raise PasswordRefused(_SENTINEL_REFUSES) from error
        raise _unreachable(error) from error
    except _UNREACHABLE as error:
        raise _unreachable(error) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        if names:
            raise unreadable(names[1] if len(names) == 1 else "a customer", error) from error
        raise StoreRefused(f"Redis holds something that this program did not write: {error}") from error
    except ValueError as error:
        if _CLOSED not in str(error):
            raise
        raise _unreachable(error) from error
    except redis.exceptions.RedisError as error:
        if key is not None and "WRONGTYPE" in str(error):
            raise CustomerRefused(f"{key} holds something else than this program's data: {error}") from error
        raise _translate(str(error), names) from error


def _translate(text: str, names: dict[int, str]) -> StoreUnavailable | StoreRefused:
    """Named refusals are permanent. All others are waited out, because the events are not at fault."""
    if "unauthenticated" in text:  # the text of Redis for a long command
        return PasswordRefused(_AUTHENTICATION_FAILED)
    code, _, rest = text.partition(" ")
    number, _, problem = rest.partition(" ")
    if code == "NEXTBASKET" and problem.startswith(_OF_CUSTOMER):
        name = names.get(int(number), "a customer")
        if problem.startswith("SCHEMA "):
            schema = problem.removeprefix("SCHEMA ")
            return CustomerRefused(
                f"The history of {name} has schema {schema}: a newer version wrote it; run that one."
            )
        return CustomerRefused(f"The keys of {name} hold something else than this program's data: {problem}")
    if "WRONGTYPE" in text or any(words in text for words in _FAILED_SCRIPT):
        return StoreRefused(f"A key of the items holds something else than this program's data: {text}")
    if any(words in text for words in _FORBIDDEN):
        return StoreForbids(f"Redis does not allow this to the user: {text}. Give the right by ACL SETUSER.")
    return StoreUnavailable(f"Redis cannot do this now: {text}")


def _unreachable(error: Exception) -> StateError:
    """The error of a server that does not answer, or whose certificate or that of this client is not accepted."""
    problem = certificate_problem(
        str(error),
        address="NEXTBASKET_REDIS_URL",
        authorities="ssl_ca_certs in NEXTBASKET_REDIS_URL",
        certificate=_CLIENT_CERTIFICATE,
    )
    if problem is not None:
        return CertificateRefused(f"Redis cannot be used: {problem}.")
    # With TLS 1.3 a server may be gone before its alert is read.
    ended = "EOF occurred in violation of protocol" in str(error)
    hint = f" (where it wants a certificate of this client, see {_CLIENT_CERTIFICATE})" if ended else ""
    return StoreUnavailable(f"Redis does not answer: {error}{hint}")


def unreadable(name: str, error: Exception) -> CustomerRefused:
    """The refusal of a customer whose keys hold foreign bytes."""
    return CustomerRefused(f"The keys of {name} hold something that this program did not write: {error}")


def is_forbidden(error: StoreUnavailable) -> bool:
    """Whether the cause is a missing permission, which somebody has to give."""
    return isinstance(error, StoreForbids)


_UNREACHABLE = (
    redis.exceptions.ConnectionError,
    redis.exceptions.TimeoutError,
    redis.exceptions.RedisClusterException,  # not a RedisError: no node answers, or a slot has none
    OSError,
)
