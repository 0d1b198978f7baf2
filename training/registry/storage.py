"""Storage: the few operations a registry needs of a folder or of any fsspec URL.

A local folder gets what POSIX can promise: a file appears whole or not at all, and is created by one writer only.
Object stores promise as much of a single object; ``create`` asks them for a conditional write and reads back what won.
"""

import contextlib
import os
import shutil
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

from training.registry.errors import RegistryUnavailable

_BLOCK = 8 * 1024**2

_CREATING = threading.Lock()
"""fsspec's memory:// checks and writes in two steps; within one process this makes them one."""


class Storage:
    """Files below one root, by paths with ``/`` between segments."""

    def __init__(self, url: str) -> None:
        """Look at ``url``, a path or anything fsspec understands; nothing is written.

        Raises:
            RegistryUnavailable: No such protocol, or its driver is not installed.
        """
        self.url = url
        try:
            self._fs, self._root = fsspec.core.url_to_fs(str(Path(url).expanduser()) if url.startswith("~") else url)
        except (ImportError, ValueError) as error:
            raise RegistryUnavailable(
                f"The registry {url} cannot be opened ({error}). NEXTBASKET_REGISTRY takes a folder or an fsspec URL "
                "whose driver is installed."
            ) from None
        self._local = isinstance(self._fs, LocalFileSystem)

    def local(self, path: str) -> Path | None:
        """Where a path lies on this machine, or None if it lies elsewhere."""
        return Path(self._at(path)) if self._local else None

    def read(self, path: str, limit: int) -> bytes | None:
        """The first ``limit`` bytes of a file, or None where there is none."""
        with self._access():
            try:
                content: bytes = self._fs.cat_file(self._at(path), start=0, end=limit)
            except (FileNotFoundError, NotADirectoryError):
                return None
            return content

    def create(self, path: str, content: bytes) -> bool:
        """Write a file that does not exist; False, and nothing written, if it does."""
        with self._access(), _CREATING:
            target = self._at(path)
            if self._local:
                return _create(Path(target), content)
            try:
                self._fs.pipe_file(target, content, mode="create")
            except FileExistsError:
                return False
            self._fs.invalidate_cache()
            written: bytes = self._fs.cat_file(target)
            return written == content

    def replace(self, path: str, content: bytes) -> None:
        """Write a file in one step: a reader sees the old content or the new one, never a part."""
        with self._access():
            target = self._at(path)
            if not self._local:
                self._fs.pipe_file(target, content)
                return
            aside = _write_aside(Path(target), content)
            aside.replace(target)

    def names(self, path: str) -> list[str]:
        """Names of what lies in a folder, sorted; none where there is no folder."""
        with self._access():
            self._fs.invalidate_cache()
            try:
                listed = self._fs.ls(self._at(path), detail=False)
            except (FileNotFoundError, NotADirectoryError):
                return []
            return sorted(PurePosixPath(str(entry)).name for entry in listed)

    def size(self, path: str) -> int | None:
        """Bytes of a file, or None where there is none."""
        with self._access():
            try:
                size: int | None = self._fs.size(self._at(path))
            except FileNotFoundError:
                return None
            return size

    def upload(self, source: Path, path: str) -> None:
        """Copy a file of this machine in."""
        with self._access():
            target = self._at(path)
            if self._local:
                Path(target).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, target)
            else:
                self._fs.put_file(str(source), target)

    def download(self, path: str, target: Path) -> None:
        """Copy a file out to this machine."""
        with self._access():
            source = self._at(path)
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("xb") as file:  # by ranges: memory:// has one position for all who read a file
                for start in range(0, int(self._fs.size(source)), _BLOCK):
                    file.write(self._fs.cat_file(source, start=start, end=start + _BLOCK))

    def _at(self, path: str) -> str:
        return f"{self._root.rstrip('/')}/{path}"

    @contextlib.contextmanager
    def _access(self) -> Iterator[None]:
        """Whatever a driver raises becomes one error: cloud drivers have exceptions of their own."""
        try:
            yield
        except RegistryUnavailable:
            raise
        except Exception as error:
            reason = _reason(error)
            raise RegistryUnavailable(
                f"The registry {self.url} cannot be used: {reason}. Check that it is there and may be read and written."
            ) from error


def _reason(error: Any) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror} ({error.filename})" if error.filename else str(error.strerror)
    return f"{type(error).__name__}: {error}".rstrip(". ")


def _create(target: Path, content: bytes) -> bool:
    """A hard link appears in one step, with its content, and fails where the name is taken."""
    aside = _write_aside(target, content)
    try:
        os.link(aside, target)
    except FileExistsError:
        return False
    except OSError:  # a file system without hard links: the name is still taken by one writer only
        try:
            with target.open("xb") as file:
                file.write(content)
        except FileExistsError:
            return False
    finally:
        aside.unlink()
    return True


def _write_aside(target: Path, content: bytes) -> Path:
    """Write ``content`` next to ``target`` under a name of its own and on to the disk."""
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
    with aside.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    return aside
