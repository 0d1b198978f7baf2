"""Kafka Connect of Apache Kafka with one connector, in standalone mode; fetched with Maven."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import platformdirs

from tests.services.kafka import VERSION, fetch_jars
from tests.services.process import Server, free_port

DEPENDENCIES = (
    ("org.apache.kafka", "connect-runtime", VERSION),
    ("org.apache.kafka", "connect-file", VERSION),
    ("org.slf4j", "slf4j-simple", "1.7.36"),
)


JARS = platformdirs.user_cache_path("nextbasket") / f"kafka-connect-{VERSION}"
"""Where fetched jars are kept between runs."""


def missing_tools() -> list[str]:
    """The commands that Connect needs and this machine lacks."""
    needed = ["java"] if (JARS / "complete").exists() else ["java", "mvn"]
    return [command for command in needed if shutil.which(command) is None]


class ConnectServer(Server):
    """A standalone worker; it is started once it has printed that Connect is, whatever becomes of its connector.

    Args:
        properties: The file of the worker.
        connectors: The files of the connectors.
    """

    name = "connect"

    def __init__(self, properties: str, connectors: Sequence[str]) -> None:
        super().__init__(None)
        self._properties = properties
        self._connectors = connectors

    def _prepare(self) -> None:
        # The port of its HTTP interface, which nobody uses.
        (self.folder / "connect.properties").write_text(
            f"{self._properties}\nlisteners=http://127.0.0.1:{free_port()}\n"
        )
        for number, connector in enumerate(self._connectors):
            (self.folder / f"{number}.json").write_text(connector)

    def _command(self) -> list[str]:
        return [
            "java",
            "-Xmx256m",
            "-XX:+UseSerialGC",
            "-XX:TieredStopAtLevel=1",  # least CPU
            "-Dorg.slf4j.simpleLogger.defaultLogLevel=info",
            "-cp",
            f"{fetch_jars(JARS, DEPENDENCIES)}/*",
            "org.apache.kafka.connect.cli.ConnectStandalone",
            str(self.folder / "connect.properties"),
            *(str(self.folder / f"{number}.json") for number in range(len(self._connectors))),
        ]

    def _answers(self) -> bool:
        return "Kafka Connect started" in Path(self.log).read_text(errors="replace")
