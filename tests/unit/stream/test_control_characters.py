"""Nothing that commands print, log or send as a reason holds a control character of an id, a code or a text."""

import io
import logging
import re
from typing import Any

import msgspec
import pytest
from rich.console import Console

from state.domain.recommendation import Item, ModelVersion, NextPurchase, Reason, Recommendation, Trigger
from state.errors import InvalidEvent
from state.events.catalogue import CatalogueDecoder
from state.events.control_characters import escape_control, escape_control_in_json, has_control
from state.events.invoice import Invoice, Line
from state.events.rules import decode_rules
from state.events.wire import Decoder
from state.settings import Settings
from state.store.memory import MemoryStore
from stream.cli.console import cell, echo, print_json
from stream.cli.log_lines import LineFormatter
from stream.cli.main import main
from stream.commands import export, rules, show, similar
from stream.demo.screen import _recommendations, item_text
from stream.messages import Incoming
from stream.pipeline.dead_letters import REASON, dead_letter
from stream.tools.customer_report import build_customer_report
from stream.tools.similarity import Similar
from training.serving.load import fallback_scorer

NOW = 1_323_435_000
DATE = "2011-12-09T12:50:00Z"
CHARACTERS = ["\x00", "\n", "\r", "\t", "\x1b", "\x7f", "\x85", "\x9b", "\u061c", "\u2028", "\u202e", "\u2066"]
HOSTILE = "a\x1b[31m\r\n12:00:00 CRITICAL all is lost\x9b2J\u202eb[red]c"
RAW = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def invoice(**fields: Any) -> bytes:
    line = {"stock_code": "A", "quantity": 1, "unit_price": 1.0}
    line |= {name: fields.pop(name) for name in ("stock_code", "line_id", "description") if name in fields}
    event = {"invoice_no": "1", "customer_id": "c", "invoice_date": DATE, "lines": [line]}
    return msgspec.json.encode(event | fields)


@pytest.mark.parametrize("character", CHARACTERS)
@pytest.mark.parametrize("field", ["invoice_no", "customer_id", "stock_code", "line_id"])
def test_an_id_with_a_control_character_is_refused_by_its_field(field: str, character: str) -> None:
    with pytest.raises(
        InvalidEvent, match=rf"^(lines\[0\]\.)?{field} cannot be taken; .*no control characters"
    ) as error:
        Decoder(Settings()).decode(invoice(**{field: f"1{character}2"}), now=NOW)
    assert not has_control(str(error.value))


@pytest.mark.parametrize("character", CHARACTERS)
def test_a_single_line_is_refused_likewise(character: str) -> None:
    event = {"InvoiceNo": "1", "StockCode": f"A{character}B", "Quantity": 1, "InvoiceDate": DATE, "UnitPrice": 1}
    with pytest.raises(InvalidEvent, match=r"^StockCode cannot be taken; .*no control characters"):
        Decoder(Settings(dialect="uci")).decode(msgspec.json.encode(event), now=NOW)


@pytest.mark.parametrize("character", CHARACTERS)
def test_texts_are_cleaned_of_them(character: str) -> None:
    text = f"a{character}b"
    raw = invoice(description=text, country=text, attributes={text: text})
    decoded = Decoder(Settings()).decode(raw, now=NOW)
    assert not has_control(str(decoded.lines[0].description))
    assert not any(map(has_control, [*decoded.attributes, *decoded.attributes.values()]))


def test_blanks_and_line_breaks_around_an_id_are_trimmed() -> None:
    assert Decoder(Settings()).decode(invoice(customer_id=" 1\n", stock_code="\tA\r\n"), now=NOW).customer_id == "1"


@pytest.mark.parametrize("character", CHARACTERS)
def test_an_item_event_with_one_is_refused(character: str) -> None:
    decoder = CatalogueDecoder(Settings())
    for field in ("stock_code", "image", "url"):
        event = {"stock_code": "A", field: f"http://a/{character}b"}
        with pytest.raises(InvalidEvent, match=f"^{field} cannot be taken; .*no control characters"):
            decoder.decode(msgspec.json.encode(event))
    assert decoder.stock_code_of(f"A{character}B".encode()) is None


def test_a_rule_is_not_named_with_one() -> None:
    document = {"rules": [{"kind": "exclude", "name": "a\x1b[2J", "items": {"stock_codes": ["A"]}}]}
    with pytest.raises(InvalidEvent, match=r"rules\[0\]\.name .*no control characters"):
        decode_rules(msgspec.json.encode(document))


def test_the_reason_of_a_dead_letter_has_none() -> None:
    letter = dead_letter(Incoming(b"{}", None, "invoices", 0, 0), f"The key is {HOSTILE}", topic="dead", when=DATE)
    assert not has_control(dict(letter.headers)[REASON].decode())


def test_escaping_keeps_what_json_means_and_what_is_printable() -> None:
    json = msgspec.json.format(msgspec.json.encode({"a": HOSTILE + "".join(CHARACTERS), "é": "ü ☂ 😀"})).decode()
    assert msgspec.json.decode(escape_control_in_json(json)) == msgspec.json.decode(json)
    assert not RAW.search(escape_control_in_json(json))
    assert escape_control("é ☂ 😀 a\u00a0b") == "é ☂ 😀 a\u00a0b"
    assert escape_control("\x1b[0m\n\u202e\ud800") == r"\x1b[0m\n\u202e\ud800"


@pytest.fixture
def console_log() -> tuple[logging.Logger, io.StringIO]:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(LineFormatter("%(asctime)s %(levelname)-7s %(message)s", "%H:%M:%S"))
    logger = logging.Logger("hostile")  # noqa: LOG001
    logger.addHandler(handler)
    return logger, stream


def test_a_line_cannot_be_forged_in_console_logs(console_log: tuple[logging.Logger, io.StringIO]) -> None:
    logger, stream = console_log
    logger.warning("the first: %s", HOSTILE)
    try:
        raise ValueError(HOSTILE)
    except ValueError:
        logger.exception("customer %s", HOSTILE, stack_info=True)
    lines = stream.getvalue().splitlines()
    assert not any(re.match(r"[0-9:]+ CRITICAL", line) for line in lines)
    assert sum(not line.startswith("    ") for line in lines) == 2
    assert not RAW.search(stream.getvalue())


def test_the_warnings_of_commands_without_a_log_are_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--help"])  # sets it
    assert logging.lastResort is not None
    assert logging.lastResort.formatter is not None
    line = logging.lastResort.formatter.format(logging.makeLogRecord({"msg": HOSTILE}))
    assert "\n" not in line
    assert not RAW.search(line)


def test_what_commands_print_is_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    echo(HOSTILE)
    echo(HOSTILE, err=True)
    print_json({"a": HOSTILE})
    similar._print([Similar(HOSTILE, 0.5, HOSTILE)], items=True)
    similar._print([Similar(HOSTILE, 0.5)], items=False)
    printed = capsys.readouterr()
    assert printed.out.count("CRITICAL") == 5
    assert "[red]" in printed.out
    assert not RAW.search(printed.out + printed.err)


def test_an_error_of_a_command_is_escaped(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEXTBASKET_KAFKA_BROKERS", "")
    assert main(["rules", "check", f"no such file {HOSTILE}"]) != 0
    assert main(["show", "1", "--at", HOSTILE]) != 0
    assert main([HOSTILE]) != 0
    printed = capsys.readouterr()
    assert "CRITICAL" in printed.err
    assert not RAW.search(printed.out + printed.err)


@pytest.fixture
def old_store() -> MemoryStore:
    """What a version wrote that took control characters."""
    store = MemoryStore(Settings())
    line = Line(HOSTILE, 1_000, 1.0, HOSTILE, HOSTILE, {HOSTILE: HOSTILE})
    store.apply([Invoice(HOSTILE, HOSTILE, NOW, (line,), {HOSTILE: HOSTILE})], clock_ms=1)
    item = Item(HOSTILE, HOSTILE, 0.5, "discover", Reason("in_demand", {"rank": HOSTILE}))
    model, due = ModelVersion(HOSTILE, "1"), NextPurchase({}, None, None, None)
    store.confirm([Recommendation("id", HOSTILE, 1, DATE, DATE, Trigger(HOSTILE), model, due, [item])])
    return store


def test_exports_are_escaped(old_store: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    for kind, lines in export._LINES.items():
        raw = io.BytesIO()
        monkeypatch.setattr("sys.stdout", io.TextIOWrapper(raw))
        assert export._write(lines(old_store), None) == 1, kind
        assert not RAW.search(raw.getvalue().decode())
        exported = msgspec.json.decode(raw.getvalue())
        assert HOSTILE in (exported.get("customer_id"), exported.get("stock_code"))


def test_a_customer_is_shown_escaped(old_store: MemoryStore, capsys: pytest.CaptureFixture[str]) -> None:
    report = build_customer_report(HOSTILE, old_store, fallback_scorer(), Settings(), why_not=HOSTILE)
    assert report is not None
    show._print(report)
    print_json(report)
    printed = capsys.readouterr().out
    assert printed.count("CRITICAL") > 10
    assert "[red]" in printed.replace("\n", "")
    assert not RAW.search(printed)


def test_the_demo_shows_escaped_texts(old_store: MemoryStore) -> None:
    recommendation = old_store.recommendation(HOSTILE)
    assert recommendation is not None
    assert not RAW.search(item_text(recommendation.items[0]))
    console = Console(file=io.StringIO(), width=150, height=30)
    console.print(_recommendations([recommendation], 140, 20)[0])
    assert "All Is Lost" in console.file.getvalue()  # type: ignore[attr-defined]
    assert not RAW.search(console.file.getvalue())  # type: ignore[attr-defined]


def test_rules_are_shown_escaped() -> None:
    document = decode_rules(
        msgspec.json.encode({"rules": [{"kind": "exclude", "name": "a", "items": {"stock_codes": [HOSTILE]}}]})
    )
    assert not RAW.search(cell(rules._content(document.rules[0])))
