"""Every command against a Kafka and a Redis that let nobody in without credentials, with no right but the documented.

The commands run in this process, one after the other, each as a user of its name; worker and API are processes.
"""

import asyncio
import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import closing
from html import unescape
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer
from confluent_kafka import Producer
from confluent_kafka.cimpl import NewTopic
from faust.transport.drivers.aiokafka import credentials_to_aiokafka_auth
from kafka import KafkaConsumer

from state.errors import StoreUnavailable
from state.settings import Settings, load_settings
from state.store.redis.store import RedisStore
from stream.cli.main import main
from stream.errors import BrokerRefused, BrokerUnavailable
from stream.kafka.config import confluent_config, faust_config, kafka_python_config
from stream.kafka.topics import ensure_topics, existing_topics
from tests.integration.api_server import api_server
from tests.integration.secured_shop import (
    CODES,
    CUSTOMERS,
    LIMIT_S,
    NAMESPACE,
    SETUP,
    Shop,
    encoded,
    secured_shop,
    send,
    user_of,
)
from tests.integration.workers import Worker
from tests.root_logger import restored_root_logger
from tests.services.authority import Authority
from tests.services.group import Group, wait_until
from tests.services.kafka import missing_tools as missing_for_kafka
from tests.services.redis import missing_tools as missing_for_redis
from tests.unit.api.test_pages import token
from tests.unit.stream.endpoint import endpoint
from tests.unit.stream.test_webhook import SECRET

pytestmark = [
    pytest.mark.timeout(180),
    pytest.mark.durable,
    # A client of Kafka leaves a TLS connection open, now and then; which call does is not known.
    pytest.mark.filterwarnings("ignore:unclosed <ssl.SSLSocket:ResourceWarning"),
]

TLS_HANDSHAKE, TLS_ALERT = b"\x16\x03", b"\x15\x03"
TRACES = (b"secret-customer", b"SECRETCODE", b"secret-invoice", b"secret-garbage", b"password-of-")
MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER", "SSL")

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """The shop, with a worker that has processed what is in the topic."""
    if missing_for_kafka() or missing_for_redis():
        pytest.skip("needs Java, Maven and redis-server")
    folder = tmp_path_factory.mktemp("secured")
    files(folder)
    with secured_shop(folder) as shop:
        created = ensure_topics(shop.settings(SETUP))
        assert f"{NAMESPACE}.invoices" in created
        shop.require_no_denial(SETUP)
        send(shop, "invoices", [*encoded(), b"secret-garbage"])
        send(shop, "customers", [None], key=b"merged:nobody")
        shop.worker = worker = Worker(shop.variables("worker", "OAUTHBEARER"), folder / "worker.log")
        group = Group(shop.kafka.brokers, f"{NAMESPACE}.nextbasket-worker", f"{NAMESPACE}.invoices")

        def alive() -> None:
            assert worker.ended() is None, worker.log_tail()

        worker.start()
        try:
            wait_until(lambda: group.done() >= len(encoded()) + 1, "the worker took all events", LIMIT_S, alive)
            yield shop
        finally:
            group.close()
            worker.end()


@pytest.fixture
def nextbasket(shop: Shop, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Runs a command in this process as the user of its row; returns the exit code and what it printed."""

    @restored_root_logger()
    def run(command: str, *arguments: str, url: str = "") -> tuple[int, str, str]:
        for name in [name for name in os.environ if name.startswith("NEXTBASKET_")]:
            monkeypatch.delenv(name)  # such as the data of another shop
        for name, value in shop.variables(command).items():
            monkeypatch.setenv(name, value)
        capfd.readouterr()
        code = main([argument.format(folder=shop.folder, url=url) for argument in arguments])
        return code, *capfd.readouterr()

    return run


def files(folder: Path) -> None:
    """What the commands read."""
    lines = [f"secret-invoice-9{n},{CODES[0]},1,2011-12-0{n + 1} 10:00,2.5,{CUSTOMERS[0]}" for n in range(5)]
    (folder / "table.csv").write_text(
        "\n".join(["InvoiceNo,StockCode,Quantity,InvoiceDate,UnitPrice,CustomerID", *lines])
    )
    (folder / "items.csv").write_text(f"stock_code,name,stock\n{CODES[0]},secret name,5\n")
    (folder / "rules.json").write_text(json.dumps({"rules": [{"kind": "cap", "name": "c", "most": 9}]}))
    (folder / "secret.txt").write_text(SECRET)


COMMANDS = {
    "replay": ("replay", "{folder}/table.csv"),
    "items load": ("items", "load", "{folder}/items.csv"),
    "rules set": ("rules", "set", "{folder}/rules.json"),
    "train": ("train", "--model", "count_demand"),
    "show": ("show", CUSTOMERS[1]),
    "export": ("export", "histories", "--output", "{folder}/histories.jsonl"),
    "now": ("now",),
    "due": ("due", "--within", "90d", "--output", "{folder}/due.csv"),
    "due --publish": ("due", "--within", "90d", "--publish"),
    "webhook": ("webhook", "--url", "{url}", "--secret-file", "{folder}/secret.txt", "--until-end"),
    "refresh": ("refresh", "--now", "--no-wait"),
    "rebuild": ("rebuild",),
    "redrive": ("redrive", "--wait", "20"),
    "merge": ("merge", CUSTOMERS[2], CUSTOMERS[3]),
    "erase": ("erase", CUSTOMERS[4]),
    "erase --rewrite": ("erase", CUSTOMERS[5], "--rewrite"),
}
"""In an order in which each has something to do."""

OTHER_MISSING = {
    "due --publish": ("READ", "TOPIC", f"{NAMESPACE}.rules"),  # all are sent already
    "redrive": ("WRITE", "TOPIC", f"{NAMESPACE}.invoices"),  # no letter is of the other topic
}
"""The right to take away, where a command would not notice that the last of its rights is missing."""


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_works_with_the_documented_rights_alone(command: str, shop: Shop, nextbasket: Run) -> None:
    with endpoint() as served:
        code, _, error = nextbasket(command, *COMMANDS[command], url=served.url)
        assert code == (1 if command == "redrive" else 0), error  # the garbage comes back
        assert command != "webhook" or served.requests
    shop.require_no_denial(command)
    shop.walked.add(command)


def test_the_api_works_with_the_documented_rights_alone(shop: Shop) -> None:
    some = [json.loads(event) for event in encoded()[:3]]
    with api_server(shop.variables("api", "PLAIN"), shop.folder / "api.log") as client:
        wait_until(lambda: client.get("/readyz").status_code == 200, "the API is ready", LIMIT_S)
        client.headers["Origin"] = str(client.base_url).rstrip("/")
        answers = [
            client.post("/v1/invoices", json=some),
            client.post("/v1/invoices", json=some[0]),
            client.put(f"/v1/items/{CODES[0]}", json={"stock": 3}),
            client.put("/v1/rules", json={"rules": []}),
            client.get(f"/v1/customers/{CUSTOMERS[1]}/recommendations"),
            client.get(f"/v1/customers/{CUSTOMERS[1]}"),
            client.get(f"/v1/items/{CODES[0]}"),
            client.get("/v1/due?within=90"),
            client.get("/health"),
        ]
        page = client.get("/dead-letters")
        reason = re.search(r'name="reason" value="([^"]+)"', page.text)
        assert reason, page.text
        form = {"token": token(page), "reason": unescape(reason[1])}
        answers += [page, client.post("/dead-letters/redrive", data=form, follow_redirects=True)]
        with client.stream("GET", "/v1/recommendations/stream", headers={"Last-Event-ID": "0:0,1:0"}) as stream:
            assert any(CUSTOMERS[1] in line for line in stream.iter_lines())
    assert [(answer.request.url.path, answer.status_code) for answer in answers if answer.status_code >= 300] == []
    shop.require_no_denial("api")
    shop.walked.add("api")


def test_each_documented_right_of_kafka_is_used(shop: Shop) -> None:
    """A right that nothing needs is not on the page."""
    for command in shop.walked & set(shop.kafka_rights):
        shop.require_use(command)


@pytest.mark.parametrize("command", [command for command in COMMANDS if command not in ("now", "export", "refresh")])
def test_a_right_of_kafka_that_is_missing_is_named(command: str, shop: Shop, nextbasket: Run) -> None:
    topics = {right for right in shop.kafka_rights[command] if right[:2] in (("READ", "TOPIC"), ("WRITE", "TOPIC"))}
    missing = OTHER_MISSING.get(command) or max(topics)
    shop.kafka.revoke(user_of(command), missing)
    try:
        code, _, error = nextbasket(command, *COMMANDS[command], url="http://127.0.0.1:9/")
    finally:
        shop.kafka.grant(user_of(command), [missing])
        shop.kafka.decisions()
    assert code != 70, error
    assert code or command == "show", error  # it shows what it can, and says what is missing
    assert missing[2] in error
    assert missing[0].capitalize() in error
    assert "Traceback" not in error


@pytest.mark.parametrize("command", ["show", "export", "now", "due", "refresh", "rebuild", "erase"])
def test_a_right_of_redis_that_is_missing_is_named(command: str, shop: Shop, nextbasket: Run) -> None:
    missing = next(
        rule.removeprefix("+") for rule in shop.redis_rights[command] if rule in ("+hgetall", "+set", "+hset")
    )
    with shop.redis.trusted() as client:
        client.execute_command("ACL", "SETUSER", user_of(command), f"-{missing}")
        try:
            code, _, error = nextbasket(command, *COMMANDS[command])
        finally:
            client.execute_command("ACL", "SETUSER", user_of(command), f"+{missing}")
            client.execute_command("ACL", "LOG", "RESET")
    assert code not in (0, 70), error
    assert f"'{missing}'" in error


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_every_mechanism_is_taken_from_every_client(mechanism: str, shop: Shop) -> None:
    user, topic = user_of(SETUP), f"{NAMESPACE}.{mechanism}"
    rights = [("READ", "TOPIC", topic), ("WRITE", "TOPIC", topic), ("CREATE", "TOPIC", topic)]
    shop.kafka.grant(f"CN={user}" if mechanism == "SSL" else user, rights)
    settings = load_settings(shop.access(user, mechanism))
    ensure_topics(settings, [NewTopic(topic, 1, 1)])
    assert topic in existing_topics(settings)
    producer = Producer(confluent_config(settings))
    producer.produce(topic, mechanism.encode())
    assert producer.flush(20) == 0
    config = kafka_python_config(settings, auto_offset_reset="earliest", consumer_timeout_ms=20_000)
    with closing(KafkaConsumer(topic, **config)) as consumer:
        assert next(consumer).value == mechanism.encode()
    assert asyncio.run(first_for_faust(settings, topic)) == mechanism.encode()


async def first_for_faust(settings: Settings, topic: str) -> bytes:
    """The first record of a topic, read with the client and the credentials of Faust."""
    credentials = credentials_to_aiokafka_auth(faust_config(settings)["broker_credentials"])
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=settings.brokers, auto_offset_reset="earliest", **credentials)
    await consumer.start()
    try:
        return bytes((await asyncio.wait_for(consumer.getone(), 20)).value)
    finally:
        await consumer.stop()


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-512", "OAUTHBEARER"])
def test_wrong_credentials_are_refused(mechanism: str, shop: Shop) -> None:
    variables = shop.access(user_of(SETUP), mechanism)
    if mechanism == "OAUTHBEARER":
        forged = shop.folder / "forged.token"
        head, claims, _ = shop.kafka.tokens.token("worker").split(".")
        forged.write_text(f"{head}.{claims}.{'A' * 342}")
        variables["NEXTBASKET_KAFKA_SASL_TOKEN_FILE"] = str(forged)
    else:
        variables["NEXTBASKET_KAFKA_SASL_PASSWORD"] = "wrong-password"
    with pytest.raises(BrokerRefused) as refused:
        existing_topics(load_settings(variables), timeout_s=3)
    assert "wrong-password" not in str(refused.value)


def test_servers_without_a_trusted_certificate_are_refused(shop: Shop, tmp_path: Path) -> None:
    other = Authority(tmp_path / "other")
    variables = shop.access(user_of(SETUP)) | {"NEXTBASKET_KAFKA_SSL_CAFILE": str(other.ca)}
    with pytest.raises(BrokerUnavailable, match="certificate"):
        existing_topics(load_settings(variables), timeout_s=3)
    url = shop.variables("show")["NEXTBASKET_REDIS_URL"].replace(str(shop.authority.ca), str(other.ca))
    with pytest.raises(StoreUnavailable, match="certificate"):
        RedisStore(load_settings(shop.variables("show") | {"NEXTBASKET_REDIS_URL": url})).now()


def test_a_rebuild_from_scratch_works_with_the_documented_rights_alone(shop: Shop, nextbasket: Run) -> None:
    """Needs that no worker runs, so it ends the one of this shop."""
    assert shop.worker is not None
    assert shop.worker.stop() == 0
    shop.kafka.decisions()
    with shop.redis.trusted() as client:
        client.execute_command("ACL", "LOG", "RESET")
    code, _, error = nextbasket("rebuild --from-scratch", "rebuild", "--from-scratch")
    assert code == 0, error
    shop.require_no_denial("rebuild --from-scratch")
    shop.require_use("rebuild --from-scratch")


def test_nothing_was_sent_in_the_clear(shop: Shop) -> None:
    """The relays in front of both servers have every byte that the commands, the API and the worker exchanged."""
    for relay in (shop.kafka_relay, shop.redis_relay):
        recorded = [bytes(one) for one in relay.recorded if one]
        assert sum(map(len, recorded)) > 20_000
        assert {one[:2] for one in recorded} <= {TLS_HANDSHAKE, TLS_ALERT}
        assert [trace for trace in TRACES for one in recorded if trace in one] == []


def test_logs_have_no_personal_data(shop: Shop) -> None:
    """Nothing at the default level names a customer, an invoice or a stock code."""
    for name in ("worker.log", "api.log"):
        log = (shop.folder / name).read_bytes()
        assert log.count(b"\n") > 5
        assert [line for line in log.splitlines() for trace in TRACES if trace in line] == []
