"""Tables of kinds that people reported, with histories worked by hand: each is read right, refused or named."""

import json
from pathlib import Path

import pytest

from state.settings import Settings
from tests.unit.data.exports import histories
from training.data.errors import DataError
from training.data.log import read_table


def test_the_tables_of_the_field_are_read_right_refused_or_named(path: Path) -> None:
    folder = path / "field"
    if not folder.is_dir():
        pytest.skip("NEXTBASKET_DATA holds no folder field")
    wrong = {}
    for case in json.loads((folder / "expected.json").read_text()):
        want = case["want"] and {
            customer: {number: invoice["items"] for number, invoice in invoices.items()}
            for customer, invoices in case["want"].items()
        }
        try:
            given = histories(folder / case["file"], dialect=case["dialect"] or "uci")
            notes = " ".join(read_table(folder / case["file"], Settings())[1].lines())
        except DataError as error:
            if not case["refuse"]:
                wrong[case["file"]] = str(error)
            continue
        if given != want and not any(word in notes for word in case["says"]):
            wrong[case["file"]] = str(given)
    assert wrong == {}
