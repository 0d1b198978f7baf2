import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient
from redis import Redis

from stream.tools.embedded import embedded_kafka, embedded_redis

SCRIPT = """
import time
from stream.tools.embedded import embedded_redis
with embedded_redis() as url:
    print(url, flush=True)
    time.sleep(600)
"""


def gone(path: Path) -> bool:
    end = time.monotonic() + 30
    while path.exists() and time.monotonic() < end:
        time.sleep(0.02)
    return not path.exists()


def test_the_broker_has_as_many_nodes_as_asked_for() -> None:
    with embedded_kafka(brokers=2) as address:
        assert len(address.split(",")) == 2
        assert len(AdminClient({"bootstrap.servers": address}).list_topics(timeout=10).brokers) == 2


def test_redis_answers_without_persistence_and_leaves_no_files() -> None:
    with embedded_redis() as url, Redis.from_url(url) as client:
        assert client.ping()
        assert client.config_get("save")["save"] == ""
        assert client.config_get("appendonly")["appendonly"] == "no"
        folder = Path(url.removeprefix("unix://")).parent
        server = client.info("server")["process_id"]
        assert folder.exists()
    assert not folder.exists()
    with pytest.raises(ProcessLookupError):
        os.kill(server, 0)


def test_two_at_a_time_are_separate() -> None:
    with embedded_redis() as one, embedded_redis() as other:
        assert one != other


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGINT])
def test_redis_ends_however_its_owner_ends(number: signal.Signals) -> None:
    owner = subprocess.Popen(
        [sys.executable, "-c", SCRIPT], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert owner.stdout is not None
    with owner.stdout:
        folder = Path(owner.stdout.readline().strip().removeprefix("unix://")).parent
        assert (folder / "redis.sock").exists()
        owner.send_signal(number)
        owner.wait(30)
    assert gone(folder)
