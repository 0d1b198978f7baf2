"""The Compose file says what it must, and every command and setting in it is one that this version knows."""

import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from redis import Redis
from redis.exceptions import RedisError

from state.errors import SettingsError
from state.settings import PREFIX, Settings, load_settings
from stream.api.access import check_binding
from stream.api.keys import Scope, load_keys
from stream.cli.extras import EXTRA_OF_COMMAND
from stream.cli.main import COMMANDS, load_command
from tests.deployment.compose_file import ROOT, Service, container_environment, interpolate, read_compose
from tests.services import kafka as kafka_service
from tests.services.process import free_port

PASSWORD = "d3ploym3nt-t3st"
KEYS = f"operator admin {'0' * 64}"
REQUIRED = {"NEXTBASKET_REDIS_PASSWORD": PASSWORD, "NEXTBASKET_API_KEYS": KEYS}


@pytest.fixture(scope="module")
def source() -> str:
    return (ROOT / "docker-compose.yml").read_text()


@pytest.fixture(scope="module")
def compose() -> Service:
    return read_compose(REQUIRED)


@pytest.fixture(scope="module")
def services(compose: Service) -> dict[str, Service]:
    found: dict[str, Service] = compose["services"]
    return found


def ours(services: dict[str, Service]) -> dict[str, Service]:
    return {name: service for name, service in services.items() if service["image"].startswith("nextbasket-")}


def test_the_services_of_the_design_are_there(services: dict[str, Service]) -> None:
    assert set(services) == {"kafka", "redis", "worker", "api", "trainer", "replay"}
    profiles = {name: service["profiles"] for name, service in services.items() if "profiles" in service}
    assert profiles == {"replay": ["replay"]}


@pytest.mark.parametrize("missing", list(REQUIRED))
def test_it_stops_with_a_sentence_where_a_secret_is_not_set(missing: str, source: str) -> None:
    given = {name: value for name, value in REQUIRED.items() if name != missing}
    with pytest.raises(KeyError, match=rf"{missing}: set it in \.env"):
        interpolate(yaml.safe_load(source), given)


def test_the_lines_of_the_example_environment_make_a_key_that_the_api_accepts() -> None:
    example = (ROOT / ".env.example").read_text()
    lines = "\n".join(line.removeprefix("#   ") for line in example.splitlines() if line.startswith("#   "))
    done = subprocess.run(["sh", "-euc", lines], capture_output=True, text=True, timeout=30, check=True)
    key, entry = done.stdout.splitlines()
    environment = container_environment("api", f"NEXTBASKET_REDIS_PASSWORD={PASSWORD}\n{entry}")
    keys = load_keys(load_settings(environment))
    check_binding("0.0.0.0", keys)
    caller = keys.find(key)
    assert caller is not None
    assert caller.may(Scope.MERCHANDISE)


def test_the_api_listens_where_its_port_is_published_and_its_health_check_asks(services: dict[str, Service]) -> None:
    command = services["api"]["command"]
    assert command[command.index("--host") + 1] == "0.0.0.0"
    port = command[command.index("--port") + 1]
    assert services["api"]["ports"] == [f"127.0.0.1:8080:{port}"]
    assert f"127.0.0.1:{port}/readyz" in services["api"]["healthcheck"]["test"][-1]


def test_every_nextbasket_command_is_accepted_by_the_command_line(services: dict[str, Service]) -> None:
    assert ours(services).keys() == {"worker", "api", "trainer", "replay"}
    for service in ours(services).values():
        name, *arguments = service["command"]
        assert name in COMMANDS
        with load_command(name).make_context(f"nextbasket {name}", list(arguments)) as context:
            assert not context.args  # nothing was left over


def test_the_worker_runs_the_small_image_and_each_command_has_what_it_needs(services: dict[str, Service]) -> None:
    assert services["worker"]["build"] == {"context": ".", "target": "worker"}
    for service in ours(services).values():
        command, *_ = service["command"]
        # The replay downloads or simulates a table.
        extra = "demo" if command == "replay" else EXTRA_OF_COMMAND.get(command)
        assert service["build"]["target"] == ("worker" if extra in (None, "api") else "trainer")


def test_every_nextbasket_setting_is_one_and_has_a_possible_value(services: dict[str, Service]) -> None:
    for service in ours(services).values():
        settings = load_settings({name: str(value) for name, value in service["environment"].items()})
        assert settings.kafka_brokers == "kafka:19092"
        assert settings.redis_password.get_secret_value() == PASSWORD


@pytest.mark.parametrize("service", ["worker", "api", "trainer", "replay"])
def test_every_setting_in_the_environment_file_reaches_the_containers(service: str) -> None:
    wanted = {PREFIX + field.upper(): f"value-of-{field}" for field in Settings.model_fields}
    text = "\n".join(f"{name}={value}" for name, value in wanted.items())
    found = container_environment(service, text)
    assert {name: found.get(name) for name in wanted} == wanted


def test_a_typing_error_in_the_environment_file_is_refused() -> None:
    text = f"NEXTBASKET_REDIS_PASSWORD={PASSWORD}\nNEXTBASKET_API_KEYS={KEYS}\nNEXTBASKET_WINDOWS=7\n"
    with pytest.raises(SettingsError, match="did you mean NEXTBASKET_WINDOW"):
        load_settings(container_environment("worker", text))


def test_folders_that_containers_see_are_in_a_clone(services: dict[str, Service]) -> None:
    """Docker would make them, for root."""
    binds = [volume.split(":")[0] for service in services.values() for volume in service.get("volumes", ())]
    folders = {source for source in binds if source.startswith("./")}
    assert folders == {"./data", "./certificates"}
    for folder in folders:
        assert (ROOT / folder / ".gitignore").read_text() == "*\n!.gitignore\n"


def test_health_checks_ask_the_process_itself(services: dict[str, Service]) -> None:
    """The trainer is alive before it has a model: ``up --wait`` would wait for its first round."""
    for name, path in (("worker", "/readyz"), ("api", "/readyz"), ("trainer", "/livez")):
        command, python, option, program = services[name]["healthcheck"]["test"]
        assert (command, python, option) == ("CMD", "python", "-c")
        compile(program, name, "exec")
        assert path in program


def test_the_dialect_is_that_of_the_example_data_which_replay_sends(services: dict[str, Service]) -> None:
    """One dialect for all services; the README's steps begin with a copy of the example environment."""
    assert services["replay"]["command"] == ["replay", "--shape", "invoices"]  # no table: the example data
    assert {service["environment"]["NEXTBASKET_DIALECT"] for service in ours(services).values()} == {"uci"}
    assert "\nNEXTBASKET_DIALECT=uci\n" in (ROOT / ".env.example").read_text()


def test_the_example_environment_names_only_what_the_file_reads(source: str) -> None:
    example = (ROOT / ".env.example").read_text()
    named = set(re.findall(r"^#?([A-Z][A-Z_]+)=", example, re.MULTILINE))
    settings = {PREFIX + field.upper() for field in Settings.model_fields}
    assert named <= settings | set(re.findall(r"\$\{(\w+)", source))
    # A name with the prefix that is no setting would reach the containers, which refuse it.
    assert {name for name in named if name.startswith(PREFIX)} <= settings
    required = set(re.findall(r"\$\{(\w+):\?", source))
    assert required == set(re.findall(r"^([A-Z_]+)=$", example, re.MULTILINE))


def test_the_file_holds_no_secret(source: str) -> None:
    settings = yaml.safe_load(source)
    for service in settings["services"].values():
        for name, value in service.get("environment", {}).items():
            if re.search(r"PASSWORD|SECRET|TOKEN|AUTH", name):
                assert re.fullmatch(r"\$\{[A-Z_]+(:-|:\?[^}]*)\}", value), f"{name} has a literal value"


def test_images_are_pinned_to_a_version(services: dict[str, Service]) -> None:
    for service in services.values():
        assert re.search(r":\d+\.\d+\.\d+", service["image"]), service["image"]
    project = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert project is not None
    for service in ours(services).values():
        assert service["image"] == f"nextbasket-{service['build']['target']}:{project[1]}"
    assert services["kafka"]["image"] == f"apache/kafka:{kafka_service.VERSION}"  # the one that the tests run on


def test_services_that_run_for_ever_have_health_checks_and_come_back(services: dict[str, Service]) -> None:
    for name, service in services.items():
        assert service["stop_grace_period"]
        if name != "replay":
            assert service["healthcheck"]["test"]
            assert service["restart"] == "unless-stopped"


def test_nothing_has_more_rights_than_it_needs(services: dict[str, Service]) -> None:
    for service in services.values():
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert "privileged" not in service
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:"), f"{port} is open to the network"
    for service in (services["redis"], *ours(services).values()):
        assert service["read_only"]


def test_data_is_on_named_volumes(compose: Service, services: dict[str, Service]) -> None:
    for name, target in (("kafka", "/var/lib/kafka/data"), ("redis", "/data"), ("trainer", "/registry")):
        volume, path = services[name]["volumes"][0].split(":")
        assert volume in compose["volumes"]
        assert path == target
    assert services["worker"]["volumes"][0] == services["trainer"]["volumes"][0] + ":ro"
    # The page promotes models and rolls them back.
    assert services["api"]["volumes"][0] == services["trainer"]["volumes"][0]


def test_the_page_shows_what_the_worker_measures(services: dict[str, Service]) -> None:
    worker, api = services["worker"]["environment"], services["api"]["environment"]
    assert api["NEXTBASKET_API_WORKER_METRICS"] == f"worker:{worker['NEXTBASKET_METRICS_PORT']}"


def test_kafka_accepts_its_configuration(services: dict[str, Service], tmp_path: Path) -> None:
    """The image turns KAFKA_A_B into the property a.b; Kafka's own storage tool then reads and checks all of them."""
    if missing := kafka_service.missing_tools():
        pytest.skip(f"needs {', '.join(missing)} to run Kafka's own check")
    environment = {k: v for k, v in services["kafka"]["environment"].items() if k != "KAFKA_HEAP_OPTS"}
    environment["KAFKA_LOG_DIRS"] = str(tmp_path / "data")
    properties = tmp_path / "server.properties"
    lines = [f"{name.removeprefix('KAFKA_').lower().replace('_', '.')}={v}" for name, v in environment.items()]
    properties.write_text("\n".join(lines))
    command = ["java", "-cp", f"{kafka_service.fetch()}/*", "kafka.tools.StorageTool", "format"]
    done = subprocess.run(
        [*command, "-t", "4L6g3nShT-eMCtK--X86sw", "-c", str(properties)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "data" / "meta.properties").exists()


def test_redis_starts_as_configured(services: dict[str, Service], tmp_path: Path) -> None:
    if not shutil.which("redis-server"):
        pytest.skip("needs redis-server on the PATH")
    port = free_port()
    shell, option, script = services["redis"]["command"]
    script = script.replace("--dir /data", f"--dir {tmp_path} --bind 127.0.0.1 --port {port}")
    environment = {"PATH": "/usr/bin:/bin:/usr/local/bin", **services["redis"]["environment"]}
    process = subprocess.Popen([shell, option, script], env=environment, stdout=subprocess.DEVNULL)
    try:
        with Redis(port=port, password=PASSWORD, decode_responses=True) as client:
            deadline = time.monotonic() + 30
            while True:
                try:
                    client.ping()
                    break
                except RedisError:
                    assert process.poll() is None
                    assert time.monotonic() < deadline
                    time.sleep(0.05)
            wanted = {
                "appendonly": "yes",
                "appendfsync": "always",
                "maxmemory-policy": "noeviction",
                "maxmemory": str(2 * 1024**3),
            }
            assert client.config_get(*wanted) == wanted
        with Redis(port=port) as stranger, pytest.raises(RedisError, match=r"(?i)authenticat"):
            stranger.ping()
        if sys.platform == "linux":
            assert PASSWORD.encode() not in Path(f"/proc/{process.pid}/cmdline").read_bytes()
        process.terminate()
        assert process.wait(10) == 0  # the signal reached Redis, which ended in order
    finally:
        process.kill()
        process.wait()


def test_the_worker_can_be_scaled(services: dict[str, Service]) -> None:
    assert "ports" not in services["worker"]
    assert "container_name" not in services["worker"]


def test_settings_that_bound_an_event_leave_room_for_a_dead_letters_headers(services: dict[str, Service]) -> None:
    limit = int(services["kafka"]["environment"]["KAFKA_MESSAGE_MAX_BYTES"])
    assert limit >= Settings().max_event_bytes + 100_000
    assert f"{PREFIX}MAX_EVENT_BYTES" not in services["worker"]["environment"]
