"""A real Apache Kafka without Docker: fetched with Maven, run in KRaft mode on free loopback ports.

By hand::

    python -m tests.services.kafka fetch        # only download
    python -m tests.services.kafka run          # until Ctrl-C; prints the broker's address
    python -m tests.services.kafka run --port 9092 --folder ./kafka-data
"""

import argparse
import os
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Sequence
from pathlib import Path

import platformdirs
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from tests.services.errors import ServiceError
from tests.services.process import Server, free_port, run_until_interrupted

VERSION = "4.1.0"
DEPENDENCIES = (("org.apache.kafka", "kafka_2.13", VERSION), ("org.slf4j", "slf4j-simple", "1.7.36"))
FETCH_LIMIT_S = 600

# One small node for tests: nothing replicated, no waiting for further group members, little memory; and a controller
# that gives a crashed broker up after 3 s instead of 9, since until then it refuses the same broker's new life.
PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller_port}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={log_dir}
num.partitions=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
controller.quorum.election.timeout.ms=500
controller.quorum.fetch.timeout.ms=1000
message.max.bytes=2097152
log.cleaner.dedupe.buffer.size=16777216
num.network.threads=2
num.io.threads=4
controlled.shutdown.enable=false
"""


def cache_folder() -> Path:
    """Where fetched jars are kept between runs."""
    return platformdirs.user_cache_path("nextbasket") / f"kafka-{VERSION}"


def missing_tools() -> list[str]:
    """The commands a local Kafka needs and this machine lacks (none: it can run here)."""
    needed = ["java"] if (cache_folder() / "complete").exists() else ["java", "mvn"]
    return [command for command in needed if shutil.which(command) is None]


def fetch() -> Path:
    """The folder with Kafka's jars, see ``fetch_jars``."""
    return fetch_jars(cache_folder(), DEPENDENCIES)


def fetch_jars(folder: Path, dependencies: Sequence[tuple[str, str, str]]) -> Path:
    """The folder with some jars, downloaded with Maven as the machine's Maven is set up, unless they are there.

    Args:
        folder: Where they are.
        dependencies: Group, artifact and version of each; what they depend on comes with them.

    Raises:
        ServiceError: Maven is missing, or it failed; its last words are in the message.
    """
    if (folder / "complete").exists():
        return folder
    if shutil.which("mvn") is None:
        raise ServiceError(
            "Apache Kafka is fetched with Maven, and mvn is not on the PATH; install maven and a Java 17"
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix="kafka-") as scratch:
        listed = "".join(
            f"<dependency><groupId>{group}</groupId><artifactId>{artifact}</artifactId><version>{version}</version></dependency>"
            for group, artifact, version in dependencies
        )
        pom = Path(scratch) / "pom.xml"
        pom.write_text(
            "<project><modelVersion>4.0.0</modelVersion><groupId>nextbasket</groupId><artifactId>kafka</artifactId>"
            f"<version>1</version><dependencies>{listed}</dependencies></project>"
        )
        libs = Path(scratch) / "libs"
        command = ["mvn", "-q", "-B", "-f", str(pom), "dependency:copy-dependencies"]
        try:
            done = subprocess.run(
                [*command, f"-DoutputDirectory={libs}", "-DincludeScope=runtime"],
                capture_output=True,
                text=True,
                timeout=FETCH_LIMIT_S,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise ServiceError(f"Maven did not fetch Kafka within {FETCH_LIMIT_S} s") from error
        if done.returncode:
            raise ServiceError(f"Maven could not fetch Kafka {VERSION}:\n{(done.stdout + done.stderr)[-2000:]}")
        (libs / "complete").touch()
        shutil.rmtree(folder, ignore_errors=True)
        try:
            libs.rename(folder)
        except OSError:  # another process was faster
            if not (folder / "complete").exists():
                raise
    return folder


class KafkaServer(Server):
    """One Apache Kafka node, broker and controller in one process."""

    name = "kafka"

    def __init__(
        self, folder: Path | None = None, *, port: int = 0, heap_mb: int = 384, optimise: bool = False
    ) -> None:
        """Use ``port`` (0: a free one).

        ``heap_mb`` is the most memory the JVM's heap may take. ``optimise`` lets it compile to its fastest code, for
        benchmarks: the start then costs twice the CPU.
        """
        super().__init__(folder)
        self.port = port or free_port()
        self.controller_port = free_port()
        self._heap_mb = heap_mb
        self._jit = () if optimise else ("-XX:TieredStopAtLevel=1",)
        self._admin: AdminClient | None = None

    @property
    def brokers(self) -> str:
        """The address for clients."""
        return f"127.0.0.1:{self.port}"

    def _java(self, *arguments: str) -> list[str]:
        return [
            "java",
            f"-Xmx{self._heap_mb}m",
            "-XX:+UseSerialGC",  # least CPU on a small machine
            *self._jit,
            "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
            "-Dorg.slf4j.simpleLogger.showDateTime=true",
            "-cp",
            f"{fetch()}/*",
            *arguments,
        ]

    def _prepare(self) -> None:
        if shutil.which("java") is None:
            raise ServiceError("Apache Kafka needs Java 17, and java is not on the PATH; install default-jre-headless")
        properties = self.folder / "server.properties"
        data = self.folder / "data"
        properties.write_text(PROPERTIES.format(port=self.port, controller_port=self.controller_port, log_dir=data))
        if (data / "meta.properties").exists():
            return
        identity = uuid.uuid4().hex[:22]
        command = self._java("kafka.tools.StorageTool", "format", "-t", identity, "-c", str(properties))
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        if done.returncode:
            raise ServiceError(f"Kafka's storage could not be formatted:\n{(done.stdout + done.stderr)[-2000:]}")

    def _command(self) -> list[str]:
        return self._java("kafka.Kafka", str(self.folder / "server.properties"))

    def _answers(self) -> bool:
        # One client for the whole wait: it reconnects by itself. Its complaints meanwhile are expected.
        if self._admin is None:
            self._admin = AdminClient(
                {"bootstrap.servers": self.brokers, "log_level": 0, "reconnect.backoff.max.ms": 200}
            )
        try:
            self._admin.list_topics(timeout=1)
        except KafkaException:
            return False
        self._admin = None
        return True


def main() -> None:
    """Fetch or run Kafka by hand."""
    parser = argparse.ArgumentParser(description="A real Apache Kafka for tests and benchmarks.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("fetch", help="download Kafka and say where it is")
    run = commands.add_parser("run", help="run Kafka until Ctrl-C")
    run.add_argument("--port", type=int, default=0, help="the broker's port; a free one unless given")
    run.add_argument("--folder", type=Path, help="keep the data here; a temporary folder unless given")
    chosen = parser.parse_args()
    try:
        if chosen.command == "fetch":
            print(fetch())
            return
        server = KafkaServer(chosen.folder, port=chosen.port, optimise=True)
        run_until_interrupted(server, f"Kafka {VERSION} at {server.brokers} (pid {os.getpid()}, {server.folder})")
    except ServiceError as error:
        raise SystemExit(str(error)) from error


if __name__ == "__main__":
    main()
