"""The first hours with Compose: its commands, environments and health checks, in its order."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from redis import Redis
from redis.exceptions import RedisError

from state.settings import load_settings
from state.store.redis.store import RedisStore
from stream.api.keys import Scope, new_key
from tests.deployment.compose_file import container_environment, read_compose
from tests.integration.workers import NEXTBASKET, clean_environment
from tests.services.choice import Service
from tests.services.group import wait_until
from tests.services.process import free_port
from training.data.simulator import SHOP_PROFILES, write_parquet
from training.registry import Registry

pytestmark = [pytest.mark.timeout(400), pytest.mark.durable]

LIMIT_S = 180.0
PASSWORD = "f1rst-h0urs"
KEY = new_key("operator", [Scope.ADMIN])
REQUIRED = {"NEXTBASKET_REDIS_PASSWORD": PASSWORD, "NEXTBASKET_API_KEYS": KEY.line}


class Container:
    """A service's command with the variables that its container would have; ``port``: in place of the published one."""

    def __init__(self, service: str, environment_file: str, folder: Path, port: int | None = None) -> None:
        self.name = service
        self.port = port
        self._log = folder / f"{service}.log"
        self._service = read_compose(REQUIRED)["services"][service]
        self._variables = clean_environment(container_environment(service, environment_file))
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *more: str) -> None:
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [NEXTBASKET, *self._service["command"], *more],
                env=self._variables,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def healthy(self) -> bool:
        """Whether the health check of the service succeeds."""
        _, _, *arguments = self._service["healthcheck"]["test"]
        if self.port is not None:
            arguments = [each.replace("127.0.0.1:8080/", f"127.0.0.1:{self.port}/") for each in arguments]
        done = subprocess.run(
            [sys.executable, *arguments], env=self._variables, capture_output=True, timeout=30, check=False
        )
        return done.returncode == 0

    def check(self) -> None:
        """Fail with the log if the process ended."""
        assert self._process is not None
        assert self._process.poll() is None, self.log()

    def wait(self) -> int:
        assert self._process is not None
        return self._process.wait(LIMIT_S)

    def stop(self) -> int:
        assert self._process is not None
        self._process.terminate()
        return self.wait()

    def end(self) -> None:
        """End the process, whatever its state."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def log(self) -> str:
        return self._log.read_text(errors="replace")[-4_000:]


@pytest.fixture
def redis_port(tmp_path: Path) -> Iterator[int]:
    """The Redis of the Compose file, on a free port."""
    port = free_port()
    folder = tmp_path / "redis"
    folder.mkdir()
    service = read_compose(REQUIRED)["services"]["redis"]
    shell, option, script = service["command"]
    script = script.replace("--dir /data", f"--dir {folder} --bind 127.0.0.1 --port {port}")
    process = subprocess.Popen(
        [shell, option, script], env=clean_environment(service["environment"]), stdout=subprocess.DEVNULL
    )
    try:
        with Redis(port=port, password=PASSWORD) as client:
            wait_until(lambda: answers(client), "Redis answers", 30.0)
        yield port
    finally:
        process.terminate()
        process.wait()


def answers(client: "Redis") -> bool:
    try:
        return bool(client.ping())
    except RedisError:
        return False


def test_up_and_then_replay_gives_a_model_and_recommendations(
    environment: dict[str, str], kafka: Service, redis_port: int, tmp_path: Path
) -> None:
    table = tmp_path / "invoices.parquet"
    write_parquet(table, SHOP_PROFILES["small"], seed=3, customers=80)
    registry = tmp_path / "registry"

    def environment_file() -> str:
        """The user's ``.env``, each container with a port of its own."""
        lines = {
            **REQUIRED,
            "NEXTBASKET_KAFKA_BROKERS": kafka.address,
            "NEXTBASKET_REDIS_URL": f"redis://127.0.0.1:{redis_port}/0",
            "NEXTBASKET_NAMESPACE": environment["NEXTBASKET_NAMESPACE"],
            "NEXTBASKET_REGISTRY": str(registry),
            "NEXTBASKET_CACHE": str(tmp_path / "cache"),
            "NEXTBASKET_METRICS_HOST": "127.0.0.1",
            "NEXTBASKET_METRICS_PORT": str(free_port()),
        }
        return "\n".join(f"{name}={value}" for name, value in lines.items())

    worker = Container("worker", environment_file(), tmp_path)
    api = Container("api", environment_file(), tmp_path, free_port())
    trainer = Container("trainer", environment_file(), tmp_path)
    replay = Container("replay", f"{environment_file()}\nNEXTBASKET_DATA={table}", tmp_path)
    with ExitStack() as ends:
        for container in (worker, api, trainer, replay):
            ends.callback(container.end)
        worker.start()
        api.start("--host", "127.0.0.1", "--port", str(api.port))
        trainer.start("--model", "count_demand")  # the one with the quickest training
        for container in (worker, api, trainer):  # up --wait
            wait_until(container.healthy, f"{container.name} is healthy", LIMIT_S, container.check)
        wait_until(lambda: "has no events yet" in trainer.log(), "the first round has failed", LIMIT_S, trainer.check)
        assert trainer.healthy()

        began = time.monotonic()
        replay.start()
        assert replay.wait() == 0, replay.log()
        wait_until(
            lambda: Registry(str(registry / environment["NEXTBASKET_NAMESPACE"])).current() is not None,
            "there is a model",
            90.0,
            trainer.check,
        )
        assert time.monotonic() - began < 120.0
        settings = load_settings(
            environment
            | {"NEXTBASKET_REDIS_URL": f"redis://127.0.0.1:{redis_port}/0", "NEXTBASKET_REDIS_PASSWORD": PASSWORD}
        )
        store = RedisStore(settings)
        ends.callback(store.close)
        wait_until(lambda: next(store.recommendations(), None) is not None, "recommendations", LIMIT_S, worker.check)
        customer = next(store.recommendations()).customer_id
        path = f"http://127.0.0.1:{api.port}/v1/customers/{customer}/recommendations"
        assert httpx.get(path).status_code == 401
        answer = httpx.get(path, headers={"Authorization": f"Bearer {KEY.key}"})
        assert (answer.status_code, answer.json()["fallback"]) == (200, None)
        wait_until(lambda: "count_demand" in worker.log() and "serves from" in worker.log(), "it is served", 60.0)
        assert worker.healthy()
        assert api.healthy()
        assert trainer.healthy()
        assert [worker.stop(), api.stop(), trainer.stop()] == [0, 0, 0]
