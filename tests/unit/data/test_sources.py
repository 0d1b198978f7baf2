"""The order of sources; what needs a server is in tests/integration/test_download.py."""

from pathlib import Path

import pytest

from state.settings import Settings
from tests.unit.data.tables import table
from tests.unit.data.test_invoice_table import UCI_ROWS, write_csv
from training.data.errors import NoTable
from training.data.sources.download import cached_path, write_cached
from training.data.sources.source import find_source

NOWHERE = "http://nowhere.invalid/x.zip"


def test_a_path_is_the_first_source(tmp_path: Path) -> None:
    given = write_csv(tmp_path / "given.csv", UCI_ROWS)
    other = write_csv(tmp_path / "other.csv", UCI_ROWS[:2])

    source = find_source(Settings(data=other, cache=tmp_path), given, url=NOWHERE)

    assert (source.kind, len(source.table.frame)) == ("path", 4)
    assert source.sentence == f"Data: {given}."


def test_the_setting_is_the_second_source(tmp_path: Path) -> None:
    given = write_csv(tmp_path / "given.csv", UCI_ROWS)

    source = find_source(Settings(data=given, cache=tmp_path / "cache"), url=NOWHERE)

    assert source.kind == "setting"
    assert source.sentence == f"Data: {given} (NEXTBASKET_DATA)."


def test_the_cached_copy_is_the_third_source(tmp_path: Path) -> None:
    write_cached(table({}, {"Quantity": 1}), cached_path(tmp_path, "a" * 64))

    source = find_source(Settings(cache=tmp_path), url=NOWHERE, expected="a" * 64)

    assert (source.kind, len(source.table.frame)) == ("cache", 2)
    assert "CC BY 4.0" in source.sentence


def test_the_simulator_is_the_last_source(tmp_path: Path) -> None:
    source = find_source(Settings(cache=tmp_path), url=NOWHERE, customers=20)

    assert source.kind == "simulator"
    assert source.sentence.endswith("For real data give the path of a table, or set NEXTBASKET_DATA.")


@pytest.mark.parametrize("by_setting", [True, False])
def test_a_wrong_path_is_an_error(tmp_path: Path, by_setting: bool) -> None:
    wrong = tmp_path / "wrong.csv"
    settings = Settings(data=wrong if by_setting else None, cache=tmp_path)

    with pytest.raises(NoTable):
        find_source(settings, None if by_setting else wrong, url=NOWHERE)
