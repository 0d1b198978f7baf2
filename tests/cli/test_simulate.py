"""A made-up shop of each kind can be written and read again."""

from pathlib import Path

import pandas as pd
import pytest

from stream.cli.exit_codes import ExitCode
from stream.cli.main import main
from stream.commands.simulate import KindOfShop
from training.data.simulator import SHOP_PROFILES, simulate


def test_every_kind_of_the_simulator_is_an_option() -> None:
    assert [kind.value for kind in KindOfShop] == list(SHOP_PROFILES)


def test_a_kind_is_written_with_the_given_sizes_and_seed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "shop.parquet"

    assert main(["simulate", str(path), "--kind", "small", "--customers", "20", "--items", "90", "--seed", "3"]) == 0

    expected = simulate(SHOP_PROFILES["small"], customers=20, items=90, seed=3)
    assert capsys.readouterr().out == f"Wrote {len(expected):,} rows to {path}.\n"
    assert pd.read_parquet(path)["InvoiceNo"].tolist() == expected["InvoiceNo"].tolist()


@pytest.mark.parametrize("name", ["shop.csv", "."])
def test_other_files_than_parquet_are_refused(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", str(tmp_path / name)]) == ExitCode.USAGE
    assert "give a name such as shop.parquet." in capsys.readouterr().err


def test_parts_are_written_into_a_new_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "shop"
    options = ["--kind", "small", "--customers", "20", "--part-rows", "500"]

    assert main(["simulate", str(folder), *options]) == 0

    rows = sum(len(pd.read_parquet(each)) for each in folder.glob("part-*.parquet"))
    assert capsys.readouterr().out == f"Wrote {rows:,} rows to {folder}.\n"
    for refused in (folder, tmp_path / "shop.parquet"):
        assert main(["simulate", str(refused), *options]) == ExitCode.USAGE
        assert "is no new folder" in capsys.readouterr().err
