"""Files of tables, by the end of their names; and the files of a folder."""

from collections.abc import Iterable
from pathlib import Path

from training.data.assumption import Assumption
from training.data.errors import MissingColumns, NoTable, UnreadableTable
from training.data.tables.decisions import BatchedTable
from training.data.tables.delimited import read_csv
from training.data.tables.delimited_batches import read_csv_batches
from training.data.tables.raw_table import RawTable, join_tables, refuse_damaged, refuse_rows_without_header
from training.data.tables.workbook import read_workbook

SUFFIXES = (".parquet", ".xlsx", ".csv", ".csv.gz")
"""Formats that are read, by the end of the file's name."""

READ_AT_ONCE = 64_000_000
"""Bytes of text files that are read at once: some 500 MB of memory."""
_MEMORY_OF_TEXT = 8
"""Bytes of memory for a byte of text, where it is read at once, about."""
_MEMORY_OF_ROW = 530
"""Bytes of memory for a row, where a table is read at once, about."""
_PACKED = 8
"""Bytes of text in a byte of a packed file, about."""

_COMPANIONS = {"~$": "the lock file of a workbook that is open in Excel", "._": "a companion file of macOS"}
"""Files that lie next to a table and have its name, with this in front."""


def find_files(path: Path) -> list[Path]:
    """The tables at a path: itself, or the files of a folder, sorted.

    Raises:
        NoTable: There is none, or one table in several formats, or the file is a companion of a table.
    """
    if path.is_file():
        for prefix, what in _COMPANIONS.items():
            if path.name.startswith(prefix):
                raise NoTable(f"{path} is {what}, no table. Give {path.name.removeprefix(prefix)}.")
        return [path]
    tables = sorted(entry for entry in path.iterdir() if entry.is_file() and is_table(entry))
    if not tables:
        raise NoTable(f"The folder {path} holds no table ({', '.join(SUFFIXES)}). Check the path.")
    stems = [table.name.split(".")[0].lower() for table in tables]
    if len(set(stems)) < len(stems):
        names = ", ".join(table.name for table in tables[:10])
        raise NoTable(
            f"The folder {path} holds {len(tables)} tables ({names}), some of one name. Name the one to read."
        )
    return tables


def is_table(path: Path) -> bool:
    """Whether a file has the name of a table, and not that of a companion or of a hidden file."""
    return path.name.lower().endswith(SUFFIXES) and not path.name.startswith((*_COMPANIONS, "."))


def unread_files(path: Path) -> list[Assumption]:
    """The assumption about what else is in the folder of a table: files of other formats, and folders."""
    if not path.is_dir():
        return []
    names = [
        entry.name
        for entry in sorted(path.iterdir())
        if not entry.name.startswith((*_COMPANIONS, ".", "_")) and (entry.is_dir() or not is_table(entry))
    ]
    if not names:
        return []
    shown = ", ".join(names[:10])
    cure = f"save tables as one of {', '.join(SUFFIXES)}, all in one folder"
    return [Assumption(f"folder {path.name}", "files of other formats, and folders, are not read", cure, shown)]


def read_files(paths: list[Path]) -> RawTable:
    """Read the files of one table, each by its own column names; one without the needed columns is left out.

    Raises:
        UnreadableTable: A file is damaged, no table, or of another format.
        MissingColumns: No file has the needed columns.
    """
    if len(paths) == 1:
        return read_file(paths[0])
    tables = []
    left_out = []
    refused: dict[str, MissingColumns] = {}
    for path in paths:
        try:
            tables.append(read_file(path))
        except MissingColumns as error:
            refused[str(path)] = error
            what = "it is left out, as it lacks columns of an invoice table"
            left_out.append(Assumption(path.name, what, "name its columns as those of the others"))
    if not tables:
        raise next(iter(refused.values()), NoTable("There is no table."))
    for where, lacking in refused.items():
        refuse_rows_without_header(lacking, where, tables[0])
    joined = join_tables(tables)
    read = files_as_one(paths, len(tables))
    return joined._replace(assumptions=(*read, *left_out, *joined.assumptions))


def read_file(path: Path) -> RawTable:
    """Read the file of a table.

    Raises:
        UnreadableTable: The file is damaged, no table, or of another format.
        MissingColumns: A needed column is missing.
    """
    name = path.name.lower()
    if not name.endswith(SUFFIXES):
        raise UnreadableTable(f"{path} has another format than {', '.join(SUFFIXES)}. Save it as one of them.")
    if name.endswith(".parquet"):
        from training.data.tables.parquet import read_parquet  # pyarrow: not in the core

        return read_parquet(path)
    with refuse_damaged(path):
        return read_workbook(path) if name.endswith(".xlsx") else read_csv(path)


def read_batches(paths: list[Path], timezone: str, date_format: str, decimal_mark: str) -> BatchedTable | None:
    """The files of one table in batches; None for a table that is read at once, as small text files are.

    Raises:
        UnreadableTable: A file is damaged or no table.
        MissingColumns: The only file lacks a needed column.
        UnclearDates: How the dates are written cannot be found out.
        UnclearNumbers: Which mark is the decimal one cannot be found out.
    """
    if all(path.name.lower().endswith(".parquet") for path in paths):
        from training.data.tables import parquet

        try:
            return parquet.read_batches(paths)
        except MissingColumns:
            if len(paths) == 1:
                raise
            return None  # ``read_files`` leaves the file out
    if all(path.name.lower().endswith((".csv", ".csv.gz")) for path in paths) and _bytes_of_text(paths) > READ_AT_ONCE:
        return read_csv_batches(paths, timezone, date_format, decimal_mark)
    return None


def memory_at_once(paths: list[Path]) -> int:
    """Bytes of memory that reading files at once takes, about; workbooks, which have a million rows at most, take 0."""
    parquet_files = [path for path in paths if path.name.lower().endswith(".parquet")]
    needed = _MEMORY_OF_TEXT * _bytes_of_text(path for path in paths if path.name.lower().endswith((".csv", ".csv.gz")))
    if parquet_files:
        from training.data.tables import parquet

        needed += _MEMORY_OF_ROW * sum(map(parquet.count_rows, parquet_files))
    return needed


def _bytes_of_text(paths: Iterable[Path]) -> int:
    return sum(path.stat().st_size * (_PACKED if path.name.lower().endswith(".gz") else 1) for path in paths)


def files_as_one(paths: list[Path], number: int) -> list[Assumption]:
    """The assumption where a folder has several files of one table; ``number`` of them are read."""
    if len(paths) == 1:
        return []
    names = ", ".join(path.name for path in paths[:5])
    folder = f"folder {paths[0].parent.name}"
    return [Assumption(folder, f"{number} files are read as one table", "name the one to read", names)]
