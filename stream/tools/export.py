"""Export: lines sorted by a key, however many, and a file that is there whole or not at all."""

import heapq
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

import msgspec

RUN_BYTES = 256 << 20
"""So much is sorted in memory at once; more goes through temporary files."""

Entry = tuple[str, bytes]


def in_order(entries: Iterable[Entry], run_bytes: int = RUN_BYTES) -> Iterator[bytes]:
    """The lines of (key, line) entries by key, in the order of code points; of one key's lines the first.

    Sorts in runs of ``run_bytes``; where there is more than one, they are kept in temporary files and merged.
    """
    with ExitStack() as files:
        runs: list[Iterable[Entry]] = []
        run: list[Entry] = []
        size = 0
        for key, line in entries:
            run.append((key, line))
            size += len(line)
            if size >= run_bytes:
                runs.append(_spill(sorted(run, key=_key), files.enter_context(tempfile.TemporaryFile())))
                run, size = [], 0
        runs.append(sorted(run, key=_key))
        before: str | None = None
        for key, line in heapq.merge(*runs, key=_key):
            if key != before:
                yield line
            before = key


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """A file to write that takes its place only when it is complete.

    Raises:
        OSError: It cannot be written.
    """
    aside = path.with_name(f".{path.name}.part")
    try:
        with aside.open("wb") as file:
            yield file
        aside.replace(path)
    except BaseException:
        with suppress(OSError):
            aside.unlink(missing_ok=True)
        raise


def _key(entry: Entry) -> str:
    return entry[0]


def _spill(run: Iterable[Entry], file: BinaryIO) -> Iterator[Entry]:
    """Write a run to a file at once; gives an iterator that reads it back."""
    for key, line in run:
        file.write(msgspec.json.encode(key) + b"\t" + line + b"\n")
    file.seek(0)
    return _read(file)


def _read(file: BinaryIO) -> Iterator[Entry]:
    for text in file:
        key, _, line = text.rstrip(b"\n").partition(b"\t")
        yield msgspec.json.decode(key, type=str), line
