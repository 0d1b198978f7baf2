"""``nextbasket eda`` from end to end on a small table."""

import re
from pathlib import Path

import pandas as pd
import pytest

from stream.cli.exit_codes import ExitCode
from stream.cli.main import main
from training.data.simulator import simulate


@pytest.fixture(autouse=True)
def working_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of 60 simulated customers over two months."""
    path = tmp_path_factory.mktemp("data") / "shop.parquet"
    simulate(customers=60, items=60, days=60, seed=5).to_parquet(path)
    return path


def test_report_and_pictures_are_written_and_replaced(
    shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A folder with the same sales as CSV, in the format that is given, gives the very same pictures as Parquet."""
    report, pictures = tmp_path / "report.html", tmp_path / "report-pictures"
    assert main(["eda", "--data", str(shop), "--output", str(report)]) == ExitCode.OK
    printed = capsys.readouterr()
    assert "exploring" in printed.err
    assert "pictures to" in printed.out
    written = {path.name: path.read_bytes() for path in pictures.iterdir()}
    assert len(written) >= 20
    assert report.read_bytes().startswith(b"<!doctype html>")
    report.write_text("something else")
    for path in pictures.iterdir():
        path.write_bytes(b"something else")
    (pictures / "mine.txt").write_text("not replaced")
    folder = tmp_path / "folder"
    folder.mkdir()
    dates = "%Y|%m|%d %H~%M~%S"
    pd.read_parquet(shop).to_csv(folder / "shop.csv", index=False, date_format=dates)
    options = ["--data", str(folder), "--output", str(report), "--pictures", str(pictures), "--date-format", dates]
    assert main(["eda", *options]) == ExitCode.OK
    assert report.read_bytes().startswith(b"<!doctype html>")
    again = {path.name: path.read_bytes() for path in pictures.iterdir()}
    assert again.pop("mine.txt") == b"not replaced"
    assert again == written


@pytest.mark.parametrize("command", ["eda", "evaluate"])
def test_rows_dated_ahead_of_the_clock_are_left_out(
    command: str, shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = pd.read_parquet(shop)
    ahead = rows[rows["CustomerID"].notna()].iloc[:1].assign(InvoiceNo="999999", InvoiceDate=pd.Timestamp("2200-01-01"))
    path = tmp_path / "ahead.parquet"
    pd.concat([rows, ahead]).to_parquet(path)
    span = ["--from", "2011-01-10", "--to", "2011-01-30", "--models", "count_demand"]
    assert main([command, "--data", str(path), *(span if command == "evaluate" else [])]) == ExitCode.OK
    printed = capsys.readouterr().out
    assert "2200" not in printed
    if command == "evaluate":
        assert re.search(r"not ahead of the clock .*\(−1\)", printed)


def test_data_is_needed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["eda"]) == ExitCode.USAGE
    assert "give --data PATH, or set NEXTBASKET_DATA" in capsys.readouterr().err


def test_output_paths_are_checked_before_the_table_is_read(
    shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    wrong = {
        ExitCode.USAGE: [["--output", str(tmp_path)], ["--pictures", "file"]],
        ExitCode.DATA: [["--output", "missing/report.html"]],
    }
    for code, lines in wrong.items():
        for line in lines:
            assert main(["eda", "--data", str(shop), *line]) == code
            assert "reading" not in capsys.readouterr().err


def test_bad_tables_end_in_one_sentence(shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pd.read_parquet(shop).head(0).to_parquet("empty.parquet")
    Path("broken.parquet").write_bytes(b"PAR1 and no more")
    Path("columns.csv").write_text("a,b\n1,2\n")
    for name, sentence in (
        ("empty.parquet", "no rows"),
        ("broken.parquet", "cannot be read as a table"),
        ("columns.csv", "columns.csv lacks"),
        ("nowhere.csv", "There is nothing at nowhere.csv"),
    ):
        assert main(["eda", "--data", name]) == ExitCode.DATA
        assert sentence in capsys.readouterr().err
    assert not Path("eda.html").exists()


def test_a_sample_of_the_customers_is_named_in_the_report(
    shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = tmp_path / "report.html"

    assert main(["eda", "--data", str(shop), "--output", str(report), "--sample", "0.5"]) == ExitCode.OK

    lead = capsys.readouterr().out.splitlines()[0]
    found = re.match(
        r"This is about a sample of 0\.5 of the customers, with all of their rows: (\S+) of (\S+)\. ", lead
    )
    assert found
    some, all_rows = (int(number.replace(",", "")) for number in found.groups())
    assert all_rows == len(pd.read_parquet(shop))
    assert 0.2 < some / all_rows < 0.8
    assert found[0].strip() in report.read_text()


def test_a_table_that_does_not_fit_in_memory_is_named_before_it_is_read(
    shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = len(pd.read_parquet(shop))
    monkeypatch.setattr("training.data.memory.available_memory", lambda: rows * 100)
    command = ["eda", "--data", str(shop), "--output", str(tmp_path / "report.html")]

    assert main(command) == ExitCode.DATA

    sentence = capsys.readouterr().err
    assert f"has {rows:,} rows: a report on all of them takes some" in sentence
    assert "--sample 0.1." in sentence
    for share in ("0.1", "1"):
        assert main([*command, "--sample", share]) == ExitCode.OK
    assert "a sample of" not in capsys.readouterr().out.splitlines()[-2]


@pytest.mark.parametrize("share", ["0", "1.5", "-1"])
def test_a_sample_is_a_share(share: str, shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["eda", "--data", str(shop), "--sample", share]) == ExitCode.USAGE


def test_a_sample_without_rows(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["eda", "--data", str(shop), "--sample", "1e-12"]) == ExitCode.DATA
    assert "A sample of 1e-12 has no row of" in capsys.readouterr().err
