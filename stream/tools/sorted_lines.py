"""Lines sorted by a key, however many: an external merge sort."""

import heapq
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from typing import BinaryIO

import msgspec

RUN_BYTES = 256 << 20
"""Bytes of lines that are sorted in memory at once; more go through temporary files."""

KeyedLine = tuple[str, bytes]
"""The key to sort by, and the line without its line break."""


def sort_lines(entries: Iterable[KeyedLine], run_bytes: int = RUN_BYTES) -> Iterator[bytes]:
    """The lines by key, in the order of code points; of several lines with one key the first.

    Lines are sorted in runs of ``run_bytes``. Full runs go to temporary files, and all runs are merged.
    """
    with ExitStack() as files:
        runs: list[Iterable[KeyedLine]] = []
        run: list[KeyedLine] = []
        size = 0
        for key, line in entries:
            run.append((key, line))
            size += len(line)
            if size >= run_bytes:
                runs.append(_spill(sorted(run, key=_key), files.enter_context(tempfile.TemporaryFile())))
                run, size = [], 0
        runs.append(sorted(run, key=_key))
        previous: str | None = None
        for key, line in heapq.merge(*runs, key=_key):
            if key != previous:
                yield line
            previous = key


def _key(entry: KeyedLine) -> str:
    return entry[0]


def _spill(run: Iterable[KeyedLine], file: BinaryIO) -> Iterator[KeyedLine]:
    """Write a run to a file at once; returns an iterator that reads it back."""
    for key, line in run:
        file.write(msgspec.json.encode(key) + b"\t" + line + b"\n")
    file.seek(0)
    return _read(file)


def _read(file: BinaryIO) -> Iterator[KeyedLine]:
    for text in file:
        key, _, line = text.rstrip(b"\n").partition(b"\t")
        yield msgspec.json.decode(key, type=str), line
