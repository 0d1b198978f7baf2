"""Storage: the operations that a registry needs, on a local folder or any fsspec URL.

A file appears whole or not at all, and ``create`` succeeds for one writer only. Object stores guarantee this for single
objects: ``create`` makes a conditional write and reads back whose content was stored. fsspec does not guarantee it for
local files (it writes in place, or moves from another folder), so these are written here: to a temporary name in the
same folder, then linked or renamed.
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
"""The ``memory://`` of fsspec checks and writes in two steps; a lock makes them one within a process."""

_DRIVERS = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs", "az": "azure", "abfs": "azure", "abfss": "azure"}
"""Protocol of a URL: the extra of nextbasket with its driver."""


class Storage:
    """Files below one root, by paths with ``/`` between segments."""

    def __init__(self, url: str) -> None:
        """Use ``url``, a path or any URL that fsspec understands; nothing is written.

        Raises:
            RegistryUnavailable: No such protocol, or its driver is not installed.
        """
        self.url = url
        try:
            self._fs, self._root = fsspec.core.url_to_fs(str(Path(url).expanduser()) if url.startswith("~") else url)
        except (ImportError, ValueError) as error:
            raise RegistryUnavailable(
                f"The registry {url} cannot be opened ({error}). NEXTBASKET_REGISTRY takes a folder or an fsspec URL "
                f"whose driver is installed{_install_driver(url)}."
            ) from None
        self._local = isinstance(self._fs, LocalFileSystem)

    def local(self, path: str) -> Path | None:
        """The path on this machine, or None if the storage is remote."""
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
        """Write a new file; returns False, and writes nothing, if it exists."""
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
            _write_temporary(Path(target), content).replace(target)

    def names(self, path: str) -> list[str]:
        """Names of the entries of a folder, sorted; none where there is no folder."""
        with self._access():
            self._fs.invalidate_cache()
            try:
                listed = self._fs.ls(self._at(path), detail=False)
            except (FileNotFoundError, NotADirectoryError):
                return []
            return sorted(PurePosixPath(str(entry)).name for entry in listed)

    def size(self, path: str) -> int | None:
        """Size of a file in bytes, or None where there is none."""
        with self._access():
            try:
                size: int | None = self._fs.size(self._at(path))
            except FileNotFoundError:
                return None
            return size

    def upload(self, source: Path, path: str) -> None:
        """Copy a file of this machine to the storage."""
        with self._access():
            target = self._at(path)
            if self._local:
                Path(target).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, target)
            else:
                self._fs.put_file(str(source), target)

    def download(self, path: str, target: Path) -> None:
        """Copy a file of the storage to this machine, where ``target`` must not exist."""
        with self._access():
            source = self._at(path)
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("xb") as file:  # by ranges: memory:// shares one read position
                for start in range(0, int(self._fs.size(source)), _BLOCK):
                    file.write(self._fs.cat_file(source, start=start, end=start + _BLOCK))

    def delete(self, path: str) -> None:
        """Delete a file, or a folder with all that is in it; does nothing where there is none."""
        with self._access():
            self._fs.invalidate_cache()
            try:
                self._fs.rm(self._at(path), recursive=True)
            except FileNotFoundError:
                return

    def _at(self, path: str) -> str:
        return f"{self._root.rstrip('/')}/{path}"

    @contextlib.contextmanager
    def _access(self) -> Iterator[None]:
        """Turn whatever a driver raises into one error: every cloud driver has its own exceptions."""
        try:
            yield
        except RegistryUnavailable:
            raise
        except Exception as error:
            reason = _reason(error)
            raise RegistryUnavailable(
                f"The registry {self.url} cannot be used: {reason}. Check that it exists and may be read and written."
            ) from error


def _reason(error: Any) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror} ({error.filename})" if error.filename else str(error.strerror)
    return f"{type(error).__name__}: {error}".rstrip(". ")


def _create(target: Path, content: bytes) -> bool:
    """Create a file by a hard link: it appears in one step, with its content, and fails where the name is taken."""
    temporary = _write_temporary(target, content)
    try:
        os.link(temporary, target)
    except FileExistsError:
        return False
    except OSError:  # a file system without hard links: the file is still created by one writer only
        try:
            with target.open("xb") as file:
                file.write(content)
        except FileExistsError:
            return False
    finally:
        temporary.unlink()
    return True


def _write_temporary(target: Path, content: bytes) -> Path:
    """Write ``content`` to a temporary name in the folder of ``target``, and flush it to the disk."""
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
    with temporary.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    return temporary


def _install_driver(url: str) -> str:
    extra = _DRIVERS.get(url.partition("://")[0])
    return f": pip install 'nextbasket[{extra}]'" if extra else ""
