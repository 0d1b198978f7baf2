"""Values that are written in options: dates, durations, paths."""

from pathlib import Path

import pytest

from state.settings import load_settings
from stream.cli.exit_codes import ExitCode, Failure
from stream.cli.options import data_path, parse_date_option, parse_duration
from stream.cli.output_paths import require_file_path, require_folder_path


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("30m", 1800), ("6h", 21600), ("1d", 86400), ("1.5H", 5400), (" 2m ", 120)]
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "6", "h", "-6h", "0h", "6 hours", "6w"])
def test_other_texts_are_no_durations(text: str) -> None:
    with pytest.raises(Failure, match="is no duration") as caught:
        parse_duration(text)
    assert caught.value.code == ExitCode.USAGE


@pytest.mark.parametrize(
    ("text", "zone", "seconds"),
    [
        ("1970-01-02", "UTC", 86_400),
        (" 1970-01-02 ", "UTC", 86_400),
        ("1970-01-02", "Europe/Berlin", 82_800),
        ("1970-01-01T00:01", "UTC", 60),
        ("1970-01-01T01:00:00+01:00", "America/New_York", 0),
    ],
)
def test_dates_are_in_the_zone_of_the_settings_and_a_day_is_its_first_second(
    text: str, zone: str, seconds: int
) -> None:
    assert parse_date_option(text, load_settings({"NEXTBASKET_TIMEZONE": zone})) == seconds


def test_a_date_option_that_is_not_given_is_none() -> None:
    assert parse_date_option(None, load_settings({})) is None


@pytest.mark.parametrize("text", ["", "soon", "2011-02-30", "2011-11"])
def test_other_texts_are_no_dates(text: str) -> None:
    with pytest.raises(Failure, match="is no date") as caught:
        parse_date_option(text, load_settings({}))
    assert caught.value.code == ExitCode.USAGE


def test_the_option_comes_before_the_setting() -> None:
    settings = load_settings({"NEXTBASKET_DATA": "setting.csv"})
    assert data_path(Path("option.csv"), settings) == Path("option.csv")
    assert data_path(None, settings) == Path("setting.csv")
    with pytest.raises(Failure, match="NEXTBASKET_DATA") as caught:
        data_path(None, load_settings({}))
    assert caught.value.code == ExitCode.USAGE


def test_a_file_can_be_written_where_its_folder_is(tmp_path: Path) -> None:
    require_file_path(tmp_path / "new.html")
    (tmp_path / "old.html").touch()
    require_file_path(tmp_path / "old.html")
    with pytest.raises(Failure, match="is a folder") as caught:
        require_file_path(tmp_path)
    assert caught.value.code == ExitCode.USAGE
    with pytest.raises(Failure, match="There is no folder") as caught:
        require_file_path(tmp_path / "missing" / "new.html")
    assert caught.value.code == ExitCode.DATA


def test_a_folder_can_be_made_where_no_file_is(tmp_path: Path) -> None:
    require_folder_path(tmp_path / "new", "--pictures")
    require_folder_path(tmp_path, "--pictures")
    (tmp_path / "file").touch()
    with pytest.raises(Failure, match="give --pictures a folder"):
        require_folder_path(tmp_path / "file", "--pictures")
