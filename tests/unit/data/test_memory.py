"""Memory that is available, and tables that need more."""

import logging
from pathlib import Path

import pandas as pd
import pytest

from training.data.memory import available_memory
from training.data.tables.invoice_table import load_batches


def write(folder: Path, **files: str) -> Path:
    folder.mkdir()
    for name, content in files.items():
        (folder / f"memory.{name}").write_text(content)
    return folder


def test_the_machine_and_the_container_bound_it(tmp_path: Path) -> None:
    machine = tmp_path / "meminfo"
    machine.write_text("MemTotal:       16000 kB\nMemFree:   1000 kB\nMemAvailable:   8000 kB\n")
    nowhere = tmp_path / "nowhere"
    of_files = "anon 1000000\nfile 500000\n"
    container = write(tmp_path / "container", max="2000000\n", current="1500000\n", stat=of_files)
    unlimited = write(tmp_path / "unlimited", max="max\n", current="1500000\n", stat=of_files)
    full = write(tmp_path / "full", max="1000000\n", current="1600000\n", stat=of_files)

    assert available_memory(machine, nowhere) == 8_192_000
    assert available_memory(machine, unlimited) == 8_192_000
    assert available_memory(machine, container) == 1_000_000
    assert available_memory(machine, full) == 0
    assert available_memory(nowhere, nowhere) is None


@pytest.mark.parametrize("form", ["csv", "csv.gz", "parquet"])
def test_a_table_that_is_read_at_once_and_needs_more_is_named(
    form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / f"t.{form}"
    row = {"invoice_no": "1", "customer_id": "c", "stock_code": "a", "quantity": 1, "unit_price": 1.0}
    frame = pd.DataFrame([row | {"invoice_date": "2011-12-05"}] * 1_000)
    getattr(frame, "to_parquet" if form == "parquet" else "to_csv")(path, index=False)

    def warnings(available: int | None) -> list[str]:
        caplog.clear()
        monkeypatch.setattr("training.data.tables.invoice_table.available_memory", lambda: available)
        load_batches(path)
        return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]

    assert warnings(None) == warnings(2_000_000) == []
    (warning,) = warnings(1_000)
    assert warning.startswith(f"{path} can only be read at once, which takes some 0.0 GB of memory")
    assert "Write it as Parquet" in warning
