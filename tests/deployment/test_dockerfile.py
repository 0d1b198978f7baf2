"""The Dockerfile builds from the lock with hashes, runs without rights, and copies only what exists."""

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from state.settings import load_settings
from tests.services.process import free_port

ROOT = Path(__file__).parents[2]
IMAGES = {"worker": "requirements-worker.lock", "trainer": "requirements.lock"}
"""Target of the build: the lock file it installs."""

Instruction = tuple[str, str]
"""Its name and its argument, one a logical line."""


@pytest.fixture(scope="module")
def instructions() -> list[Instruction]:
    text = (ROOT / "Dockerfile").read_text()
    lines = re.sub(r"^\s*#.*\n", "", text, flags=re.MULTILINE).replace("\\\n", " ").splitlines()
    return [(line.split(None, 1)[0].upper(), line.split(None, 1)[1].strip()) for line in lines if line.strip()]


@pytest.fixture(scope="module")
def stages(instructions: list[Instruction]) -> dict[str, list[Instruction]]:
    """Name of a stage: its instructions, after those of the stage that it builds upon."""
    found: dict[str, list[Instruction]] = {}
    stage: list[Instruction] = []
    for name, argument in instructions:
        if name == "FROM":
            base, _, stage_name = argument.split()
            stage = found[stage_name] = [*found.get(base, [])]
        else:
            stage.append((name, argument))
    return found


def arguments(instructions: list[Instruction], wanted: str) -> list[str]:
    return [argument for name, argument in instructions if name == wanted]


def test_one_pinned_base_for_all_stages(instructions: list[Instruction], stages: dict[str, list[Instruction]]) -> None:
    bases = {argument.split()[0] for argument in arguments(instructions, "FROM")} - set(stages)
    assert len(bases) == 1
    assert re.fullmatch(r"python:3\.12\.\d+-slim-\w+", bases.pop())


def test_the_image_of_a_build_without_a_target_is_the_worker(instructions: list[Instruction]) -> None:
    assert arguments(instructions, "FROM")[-1].endswith(" AS worker")


@pytest.mark.parametrize("image", IMAGES)
def test_it_runs_as_a_user_without_rights(stages: dict[str, list[Instruction]], image: str) -> None:
    (user,) = arguments(stages[image], "USER")
    assert int(user.split(":")[0]) > 0


@pytest.mark.parametrize("image", IMAGES)
def test_an_image_holds_exactly_what_its_lock_file_has(stages: dict[str, list[Instruction]], image: str) -> None:
    assert not any("pip" in run for run in arguments(stages[image], "RUN"))
    (source,) = arguments(stages[image], "COPY")
    assert source == f"--from={image}-build /opt/nextbasket /opt/nextbasket"
    installs = [run for run in arguments(stages[f"{image}-build"], "RUN") if "pip install" in run]
    assert len(installs) == 2
    assert installs[0].endswith(f"pip install --require-hashes --no-deps -r {IMAGES[image]}")
    assert installs[1] == "pip install --no-deps --no-index /wheel/*.whl"


def test_nothing_is_installed_without_a_hash(instructions: list[Instruction]) -> None:
    for run in arguments(instructions, "RUN"):
        assert "index-url" not in run
        assert "://" not in run
        if re.search(r"\bpip (install|wheel|download)\b", run):
            assert "--no-deps" in run
            assert "--require-hashes" in run or "--no-index" in run


def test_the_build_tool_is_the_locked_one(stages: dict[str, list[Instruction]], tmp_path: Path) -> None:
    (run,) = (run for run in arguments(stages["wheel"], "RUN") if "setuptools.lock" in run)
    (program,) = re.findall(r"awk '(.+?)'", run)
    lines = subprocess.run(
        ["awk", program, str(ROOT / "requirements.lock")], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert [line.split("==")[0] for line in lines if "==" in line] == ["setuptools"]
    assert any("--hash=sha256:" in line for line in lines)


def test_what_it_copies_exists_and_is_not_ignored(instructions: list[Instruction]) -> None:
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = set()
    for argument in arguments(instructions, "COPY"):
        if "--from=" not in argument:
            *sources, _ = argument.split()
            copied |= {source.removeprefix("./") for source in sources}
    assert copied == allowed
    for name in copied:
        assert (ROOT / name).exists(), f"{name} is copied and does not exist"
    assert not arguments(instructions, "ADD")


class Metrics(BaseHTTPRequestHandler):
    status = 200

    def do_GET(self) -> None:
        self.send_response(self.status if self.path == "/livez" else 404)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


class Broken(Metrics):
    status = 503


@pytest.fixture
def port(request: pytest.FixtureRequest) -> Iterator[int]:
    with HTTPServer(("127.0.0.1", 0), request.param) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def check_health(stages: dict[str, list[Instruction]], image: str, **environment: str) -> int:
    (check,) = arguments(stages[image], "HEALTHCHECK")
    (code,) = re.findall(r'CMD \["python", "-c", "(.+)"\]', check)
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("NEXTBASKET_")}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, env=inherited | environment, capture_output=True, check=False).returncode


@pytest.mark.parametrize("image", IMAGES)
def test_a_command_without_a_metrics_port_is_healthy(stages: dict[str, list[Instruction]], image: str) -> None:
    assert check_health(stages, image) == 0


@pytest.mark.parametrize(("port", "healthy"), [(Metrics, True), (Broken, False)], indirect=["port"])
def test_a_worker_is_healthy_while_it_answers(stages: dict[str, list[Instruction]], port: int, healthy: bool) -> None:
    assert (check_health(stages, "worker", NEXTBASKET_METRICS_PORT=str(port)) == 0) is healthy


def test_a_worker_that_does_not_listen_is_not_healthy(stages: dict[str, list[Instruction]]) -> None:
    assert check_health(stages, "worker", NEXTBASKET_METRICS_PORT=str(free_port())) != 0


def test_its_settings_are_settings(stages: dict[str, list[Instruction]]) -> None:
    pairs = dict(re.findall(r"(NEXTBASKET_\w+)=(\S+)", " ".join(arguments(stages["worker"], "ENV"))))
    settings = load_settings(pairs)
    assert settings.registry == "/registry"


@pytest.mark.parametrize("image", IMAGES)
def test_signals_reach_the_program(stages: dict[str, list[Instruction]], image: str) -> None:
    assert arguments(stages[image], "ENTRYPOINT") == ['["nextbasket"]']
