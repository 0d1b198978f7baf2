"""``nextbasket items`` and ``nextbasket rules`` on the embedded broker."""

import json
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from state.events.catalogue import CatalogueItem
from state.events.rules import RULES_KEY
from state.settings import load_settings
from stream.cli.exit_codes import ExitCode
from stream.cli.main import main
from stream.kafka.config import EMBEDDED_API_VERSION
from stream.kafka.followers import read_merchandising
from stream.kafka.publisher import KafkaPublisher
from stream.messages import Message
from stream.tools.embedded import embedded_kafka
from tests.unit.data.workbook import Row, write_workbook

TABLE = """sku,title,product_type,price,stock,link,brand,blocked,on_sale_until
22613,Napkins,Party > Napkins,"0,85",12,https://shop.example/22613,Spaceboy,no,2011-12-24
00123,Mug,,"4,50",,,,yes,
22139,Tin,Kitchen,"-1,00",3,,,,
85123A,Holder,,2,many,,,,
22613,Napkins,Party > Napkins,"0,95",12,https://shop.example/22613,Spaceboy,no,2011-12-24
"""


@pytest.fixture
def shop(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with embedded_kafka() as brokers:
        monkeypatch.setenv("NEXTBASKET_KAFKA_BROKERS", brokers)
        monkeypatch.setenv("NEXTBASKET_KAFKA_API_VERSION", EMBEDDED_API_VERSION)
        yield


@pytest.mark.usefixtures("shop")
def test_a_table_is_loaded_and_refused_rows_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "products.csv"
    path.write_text(TABLE)
    assert main(["items", "load", str(path)]) == ExitCode.NEGATIVE
    shown = capsys.readouterr()
    assert "column brand: they become attributes of the item" in shown.out
    assert "2 items sent, 0 are the same as before." in shown.out
    assert "1 rows repeat a stock code" in shown.out
    assert "Refused 1 × (first row 3): price cannot be taken; it must be a number from 0" in shown.out
    assert "Refused 1 × (first row 4): stock cannot be taken; it must be a number within" in shown.out
    assert "2 of 5 rows were refused" in shown.err
    catalogue = read_merchandising(load_settings()).catalogue
    assert set(catalogue) == {"22613", "00123"}
    napkins = catalogue["22613"]
    assert (napkins.name, napkins.category, napkins.price, napkins.stock) == ("Napkins", ("Party", "Napkins"), 0.95, 12)
    assert napkins.attributes == {"brand": "Spaceboy"}
    assert napkins.on_sale_until == 1_324_684_800
    assert catalogue["00123"].blocked
    assert catalogue["00123"].stock is None

    path.write_text("sku,stock\n22613,1\n")
    assert main(["items", "load", str(path), "--delete-missing", "--dry-run"]) == ExitCode.OK
    assert "1 items would be sent" in capsys.readouterr().out
    assert len(read_merchandising(load_settings()).catalogue) == 2
    assert main(["items", "load", str(path), "--delete-missing"]) == ExitCode.OK
    assert "1 items deleted" in capsys.readouterr().out
    assert read_merchandising(load_settings()).catalogue.keys() == {"22613"}
    assert main(["items", "load", str(path)]) == ExitCode.OK
    assert "0 items sent, 1 are the same as before." in capsys.readouterr().out


@pytest.mark.usefixtures("shop")
def test_workbooks_and_parquet_files_are_loaded_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frame = pd.DataFrame({"stock_code": [22613, 85123], "stock": [1.0, None], "category": ["A > B", None]})
    frame.to_parquet(tmp_path / "items.parquet")
    rows: list[Row] = [["Our items"], ["sku", "stock", "category"], [22613, 1, "A > B"], [85123, None, None]]
    write_workbook(tmp_path / "items.xlsx", {"Items": rows})
    assert main(["items", "load", str(tmp_path / "items.parquet")]) == ExitCode.OK
    found = read_merchandising(load_settings()).catalogue
    assert found == {
        "22613": CatalogueItem("22613", stock=1.0, category=("A", "B")),
        "85123": CatalogueItem("85123"),
    }
    capsys.readouterr()
    assert main(["items", "load", str(tmp_path / "items.xlsx")]) == ExitCode.OK
    assert "0 items sent, 2 are the same as before." in capsys.readouterr().out


def test_a_table_without_stock_codes_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "items.csv"
    path.write_text("title,price\nNapkins,1.0\n")
    assert main(["items", "load", str(path)]) == ExitCode.DATA
    assert (
        "has no column of stock codes, such as stock_code, sku or product_id. It has: title" in capsys.readouterr().err
    )


@pytest.mark.usefixtures("shop")
def test_an_item_is_shown_with_why_it_is_not_recommended_and_its_rules(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table, rules = tmp_path / "items.csv", tmp_path / "rules.json"
    table.write_text("stock_code,stock,category\n22613,0,Party > Napkins\n")
    rules.write_text('{"rules": [{"kind": "exclude", "name": "no party", "items": {"categories": ["Party"]}}]}')
    assert main(["items", "load", str(table)]) == ExitCode.OK
    assert main(["rules", "set", str(rules)]) == ExitCode.OK
    capsys.readouterr()
    assert main(["items", "show", "22613"]) == ExitCode.OK
    shown = capsys.readouterr().out
    assert "category: Party > Napkins" in shown
    assert "It is not recommended: out of stock." in shown
    assert "Rules about it: no party." in shown
    assert main(["items", "show", "22613", "--json"]) == ExitCode.OK
    assert json.loads(capsys.readouterr().out)["unavailable"] == "out_of_stock"
    assert main(["items", "show", "nothing"]) == ExitCode.NEGATIVE
    assert "The catalogue has no item 'nothing'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ('{"rules": [{"kind": "cap", "name": "a", "most": 0}]}', "rules[0].most cannot be taken: expected `int` >= 1."),
        (
            '{"rules": [{"kind": "magic", "name": "a"}]}',
            "rules[0].kind cannot be taken; it must be one of exclude, cool",
        ),
        (
            '{"rules": [{"kind": "only", "name": "a"}]}',
            "rules[0] cannot be taken: object missing required field `slot`.",
        ),
        ('{"rules": [{"kind": "exclude", "name": "a"}]}', "rules[0].items is missing; it must name stock_codes"),
        ('{"rules": [{"kind": "cooldown", "name": "a"}]}', "rules[0].days is missing; it must be 1 to 3,650"),
        (
            '{"rules": [{"kind": "cap", "name": "a", "most": 1}, {"kind": "cap", "name": "a", "most": 2}]}',
            "rules[1].name 'a' is the name of an earlier rule",
        ),
        (
            '{"rules": [{"kind": "cap", "name": "a", "most": 1, "from": "2026-01-02T00:00:00Z", '
            '"until": "2026-01-01T00:00:00Z"}]}',
            "rules[0].until cannot be taken; it must be after from.",
        ),
        (
            '{"rules": [{"kind": "boost", "name": "a", "factor": 2, "items": {"categories": [" > "]}}]}',
            "rules[0].items.categories has an empty path",
        ),
        (
            '{"rules": [{"kind": "exclude", "name": "a", "items": ' + '{"unless": ' * 400 + "{}" + "}" * 400 + "}]}",
            "rules[0].items.unless is nested too deeply; it may be so 5 times at most.",
        ),
        (
            '{"rules": [{"kind": "exclude", "name": "a", "customers": ' + '{"unless": ' * 6 + "{}" + "}" * 6 + "}]}",
            "rules[0].customers.unless is nested too deeply",
        ),
        ("[" * 100_000, "The document cannot be taken: expected `object`, got `array`."),
        ('{"rules": [' + '{"kind": "cap", "name": "a", "most": 1},' * 1_001 + "]}", "The rules are not JSON"),
        (
            '{"rules": [{"kind": "cap", "name": "a", "most": 1, "from": "2026-01-02"}]}',
            "rules[0].from cannot be taken; it must be a date such as 2026-12-01T00:00:00Z.",
        ),
        ('{"version": -1}', "version cannot be taken: expected `int` >= 0."),
        ('{"version": 1e400}', "version cannot be taken: number out of range."),
        ("[]", "The document cannot be taken: expected `object`, got `array`."),
        ("{", "The rules are not JSON"),
    ],
)
def test_check_names_the_field_and_what_it_may_be(
    document: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("NEXTBASKET_KAFKA_BROKERS", raising=False)
    path = tmp_path / "rules.json"
    path.write_text(document)
    assert main(["rules", "check", str(path)]) == ExitCode.DATA
    assert message in capsys.readouterr().err


@pytest.mark.usefixtures("shop")
def test_rules_are_set_with_a_rising_version(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "rules.json"
    assert main(["rules", "show"]) == ExitCode.NEGATIVE
    path.write_text('{"rules": [{"kind": "pin", "name": "advent", "stock_codes": ["22613"]}]}')
    assert main(["rules", "check", str(path)]) == ExitCode.OK
    assert "advent: no item of the catalogue matches it." in capsys.readouterr().out
    assert main(["rules", "set", str(path)]) == ExitCode.OK
    assert main(["rules", "set", str(path)]) == ExitCode.OK
    assert "Version 2 with 1 rule is in force; before it was 1." in capsys.readouterr().out
    assert main(["rules", "show"]) == ExitCode.OK
    assert "advent" in capsys.readouterr().out
    spans = {
        "off": '"enabled": false',
        "later": '"from": "2999-01-01T00:00:00Z"',
        "over": '"until": "2001-01-01T00:00:00Z"',
    }
    rules = [f'{{"kind": "cap", "name": "is {name}", "most": 1, {span}}}' for name, span in spans.items()]
    path.write_text(f'{{"rules": [{", ".join(rules)}]}}')
    assert main(["rules", "set", str(path)]) == ExitCode.OK
    assert main(["rules", "show"]) == ExitCode.OK
    shown = capsys.readouterr().out.splitlines()
    for name in spans:
        assert next(line for line in shown if f"│ is {name}" in line).split()[1] == name
    path.write_text('\ufeff{"version": 3, "rules": []}', encoding="utf-8")
    for command in ("check", "set"):
        assert main(["rules", command, str(path)]) == ExitCode.NEGATIVE
        assert "The document has version 3, and version 3 is in force" in capsys.readouterr().err
    path.write_text('{"version": 9007199254740992, "rules": []}')
    for command in ("check", "set"):
        assert main(["rules", command, str(path)]) == ExitCode.NEGATIVE
        assert "it may be 1000003 at most, as version 3 is in force" in " ".join(capsys.readouterr().err.split())
    path.write_text('{"version": 12, "rules": []}')
    assert main(["rules", "set", str(path)]) == ExitCode.OK
    capsys.readouterr()
    assert main(["rules", "show", "--json"]) == ExitCode.OK
    assert json.loads(capsys.readouterr().out) == {"version": 12}


@pytest.mark.usefixtures("shop")
def test_invalid_rules_in_the_topic_can_be_replaced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "rules.json"
    path.write_text('{"rules": []}')
    assert main(["rules", "set", str(path)]) == ExitCode.OK
    publisher = KafkaPublisher(load_settings())
    publisher.publish([Message("rules", RULES_KEY, b"{")])
    publisher.close()
    assert main(["rules", "show"]) == ExitCode.UNREACHABLE
    assert "the newest rules are invalid" in capsys.readouterr().err
    assert main(["rules", "set", str(path)]) == ExitCode.OK
    assert main(["rules", "show", "--json"]) == ExitCode.OK
