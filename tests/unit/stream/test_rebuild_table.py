"""The events that ``nextbasket rebuild`` makes of a table."""

from pathlib import Path

import pytest

from state.settings import Settings
from stream.commands.rebuild import _table
from tests.unit.data.exports import HEADER, ROWS, write


@pytest.mark.parametrize(("dialect", "numbered"), [("uci", 0), ("plain", 1)])
def test_a_table_of_uci_is_rebuilt_in_the_dialect_of_the_settings(dialect: str, numbered: int, tmp_path: Path) -> None:
    """Equal lines with other descriptions are one in UCI's dialect and two in others, as ``replay`` sends them."""
    path = write(tmp_path / "t.csv", [*ROWS, [*ROWS[0][:2], "CUP", *ROWS[0][3:]]], HEADER)

    values = [event.value for events in _table(path, Settings(dialect=dialect)) for event in events]

    assert len(values) == 5
    assert sum(b'"line_id"' in (value or b"") for value in values) == numbered
