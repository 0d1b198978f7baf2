"""Every command against a Kafka and a Redis that let nobody in without credentials, with no right but the documented.

The commands run once, in this process, one after the other, each as a user of its name; worker and API are processes.
Each test looks at a part of what happened, or tries something more, so any selection of them can run.
"""

import asyncio
import io
import json
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import closing, redirect_stderr, redirect_stdout
from html import unescape
from pathlib import Path
from typing import NamedTuple

import pytest
from aiokafka import AIOKafkaConsumer
from confluent_kafka import Producer
from confluent_kafka.cimpl import NewTopic
from faust.transport.drivers.aiokafka import credentials_to_aiokafka_auth
from kafka import KafkaConsumer
from pydantic import SecretStr
from redis import Redis

from state.errors import AccessRefused
from state.settings import Settings, load_settings
from state.store.redis.store import RedisStore
from stream.cli.main import main
from stream.errors import BrokerRefused, BrokerUnavailable
from stream.kafka.config import confluent_config, faust_config, kafka_python_config
from stream.kafka.topics import ensure_topics, existing_topics
from tests.integration.api_server import api_server
from tests.integration.documented_rights import kafka_rights
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
from tests.services.process import free_port
from tests.services.redis import RedisServer
from tests.services.redis import missing_tools as missing_for_redis
from tests.services.relay import Relay
from tests.unit.api.test_pages import token
from tests.unit.stream.endpoint import endpoint
from tests.unit.stream.test_webhook import SECRET

pytestmark = [pytest.mark.timeout(600), pytest.mark.durable]

TLS_HANDSHAKE, TLS_ALERT = b"\x16\x03", b"\x15\x03"
SERVER_HELLO, TLS_1_2 = 2, b"\x03\x03"
"""A hello of TLS 1.3 has the version of TLS 1.2 in front, too; older ones have an older version."""
EVENTS = (b"secret-customer", b"SECRETCODE", b"secret-invoice", b"secret-garbage", NAMESPACE.encode() + b".invoices")
PERSONAL = (b"secret-", b"SECRETCODE", b"password-of-")
TRACES = (*EVENTS, b"password-of-")
MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER", "SSL")


class Outcome(NamedTuple):
    """What a command did: its exit code, what it printed, and what is wrong with its rights."""

    code: int
    error: str
    problem: str | None


Walk = dict[str, Outcome]


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


def nextbasket(shop: Shop, command: str, *arguments: str, url: str = "") -> tuple[int, str]:
    """Runs a command in this process as the user of its row; returns the exit code and its standard error."""
    printed, error = io.StringIO(), io.StringIO()
    with (
        pytest.MonkeyPatch.context() as variables,
        restored_root_logger(),
        redirect_stdout(printed),
        redirect_stderr(error),
    ):
        for name in [name for name in os.environ if name.startswith("NEXTBASKET_")]:
            variables.delenv(name)  # such as the data of another shop
        for name, value in shop.variables(command).items():
            variables.setenv(name, value)
        code = main([argument.format(folder=shop.folder, url=url) for argument in arguments or COMMANDS[command]])
    return code, error.getvalue()


@pytest.fixture(scope="module")
def walk(shop: Shop) -> Walk:
    """What came of each command, in their order, of the API, and at last of the rebuild that no worker may see."""
    found: Walk = {}
    for command in COMMANDS:
        with endpoint() as served:
            code, error = nextbasket(shop, command, url=served.url)
            problem = missing_right(shop, command)
            if command == "webhook" and not served.requests:
                problem = "it sent nothing"
        found[command] = Outcome(code, error, problem)
    try:
        call_api(shop)
        found["api"] = Outcome(0, "", missing_right(shop, "api"))
    except AssertionError as wrong:  # the tests of the commands are not concerned
        found["api"] = Outcome(1, str(wrong), missing_right(shop, "api"))
    assert shop.worker is not None
    assert shop.worker.stop() == 0
    shop.kafka.decisions()
    shop.redis.denied()
    code, error = nextbasket(shop, "rebuild --from-scratch", "rebuild", "--from-scratch")
    found["rebuild --from-scratch"] = Outcome(code, error, missing_right(shop, "rebuild --from-scratch"))
    return found


def missing_right(shop: Shop, command: str) -> str | None:
    """What a command was not allowed, in words."""
    try:
        shop.require_no_denial(command)
    except AssertionError as error:
        return str(error)
    return None


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


@pytest.mark.parametrize("command", [*COMMANDS, "api", "rebuild --from-scratch"])
def test_a_command_works_with_the_documented_rights_alone(command: str, walk: Walk) -> None:
    code, error, problem = walk[command]
    assert problem is None
    assert code == (1 if command == "redrive" else 0), error  # the garbage comes back


def call_api(shop: Shop) -> None:
    """Ask the API for everything it can do with Kafka and Redis."""
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
    bad = [answer for answer in answers if answer.status_code >= 300]
    assert not bad, [(answer.request.url.path, answer.text[:2_000]) for answer in bad]


@pytest.mark.usefixtures("walk")
@pytest.mark.parametrize("command", sorted(kafka_rights(NAMESPACE)))
def test_each_documented_right_of_kafka_is_used(command: str, shop: Shop) -> None:
    """A right that nothing needs is not on the page."""
    shop.require_use(command)


def test_no_documented_right_is_wider_than_its_use(shop: Shop) -> None:
    """No category, no pattern of keys; a prefix only where the names behind it are not known before."""
    wide = {
        right for rights in shop.kafka_rights.values() for right in rights if "*" in right[2] and right[1] == "TOPIC"
    }
    assert wide == set()
    of_redis = {rule for rules in shop.redis_rights.values() for rule in rules}
    assert {rule for rule in of_redis if not re.fullmatch(r"\+[a-z]+(\|[a-z]+)?", rule)} == set()
    assert (
        of_redis & {"+flushall", "+flushdb", "+keys", "+config", "+acl", "+debug", "+shutdown", "+del", "+unlink"}
        == set()
    )


@pytest.mark.parametrize("command", [command for command in COMMANDS if command not in ("now", "export", "refresh")])
@pytest.mark.usefixtures("walk")
def test_a_right_of_kafka_that_is_missing_is_named(command: str, shop: Shop) -> None:
    topics = {right for right in shop.kafka_rights[command] if right[:2] in (("READ", "TOPIC"), ("WRITE", "TOPIC"))}
    missing = OTHER_MISSING.get(command) or max(topics)
    shop.kafka.revoke(user_of(command), missing)
    try:
        code, error = nextbasket(shop, command, url="http://127.0.0.1:9/")
    finally:
        shop.kafka.grant(user_of(command), [missing])
        shop.kafka.decisions()
    assert code != 70, error
    assert code or command == "show", error  # it shows what it can, and says what is missing
    assert missing[2] in error
    assert missing[0].capitalize() in error
    assert "Traceback" not in error


@pytest.mark.parametrize("command", ["show", "export", "now", "due", "refresh", "rebuild", "erase"])
@pytest.mark.usefixtures("walk")
def test_a_right_of_redis_that_is_missing_is_named(command: str, shop: Shop) -> None:
    missing = next(
        rule.removeprefix("+") for rule in shop.redis_rights[command] if rule in ("+hgetall", "+set", "+hset")
    )
    with shop.redis.trusted() as client:
        client.execute_command("ACL", "SETUSER", user_of(command), f"-{missing}")
        try:
            code, error = nextbasket(shop, command)
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
    with pytest.raises(AccessRefused, match="certificate"):
        RedisStore(load_settings(shop.variables("show") | {"NEXTBASKET_REDIS_URL": url})).now()


@pytest.mark.usefixtures("walk")
def test_nothing_was_sent_in_the_clear(shop: Shop) -> None:
    """The relays in front of both servers have every byte that the commands, the API and the worker exchanged."""
    for relay in (shop.kafka_relay, shop.redis_relay):
        recorded = [bytes(one) for one in relay.recorded if one]
        assert sum(map(len, recorded)) > 20_000
        assert {one[:2] for one in recorded} <= {TLS_HANDSHAKE, TLS_ALERT}
        hellos = [one for one in recorded if one[:2] == TLS_HANDSHAKE and one[5] == SERVER_HELLO]
        assert hellos
        assert min(one[9:11] for one in hellos) >= TLS_1_2
        assert traces_in(recorded, TRACES) == set()


def test_what_is_sent_in_the_clear_is_found(shop: Shop, tmp_path: Path) -> None:
    """The search of the test before this one finds what passes a relay without TLS."""
    assert traces_in([bytes(one) for one in shop.plain_relay.recorded], EVENTS) == set(EVENTS)
    with RedisServer(tmp_path) as plain, Relay(free_port(), "127.0.0.1", plain.port, record=True) as relay:
        with Redis(port=plain.port) as client:
            client.execute_command("ACL", "SETUSER", "worker", "on", ">password-of-worker", "~*", "+@all")
        url = f"redis://worker@127.0.0.1:{relay.port}/0"
        with closing(RedisStore(Settings(redis_url=url, redis_password=SecretStr("password-of-worker")))) as store:
            store.history(CUSTOMERS[0])
    assert traces_in([bytes(one) for one in relay.recorded], TRACES) == {b"secret-customer", b"password-of-"}


def traces_in(recorded: Sequence[bytes], traces: Sequence[bytes]) -> set[bytes]:
    return {trace for trace in traces for one in recorded if trace in one}


def test_logs_have_no_personal_data(shop: Shop, walk: Walk) -> None:
    """Nothing at the default level names a customer, an invoice or a stock code."""
    logs = [(shop.folder / name).read_bytes() for name in ("worker.log", "api.log")]
    assert min(log.count(b"\n") for log in logs) > 5
    logs += [error.encode() for code, error, _ in walk.values() if code == 0]
    assert [line for log in logs for line in log.splitlines() if traces_in([line], PERSONAL)] == []
