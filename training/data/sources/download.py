"""Download: UCI Online Retail from UCI's server, checked, and cached as Parquet."""

import contextlib
import logging
import socket
import tempfile
import threading
import urllib.request
import uuid
import zipfile
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pooch
import pyarrow as pa
import pyarrow.parquet as pq
from tqdm import tqdm

from training.data import columns
from training.data.errors import DataError, DownloadFailed, WrongContent
from training.data.sources.checksum import UCI_ONLINE_RETAIL, checksum
from training.data.tables.invoice_table import InvoiceTable, load

logger = logging.getLogger(__name__)

UCI_URL = "https://archive.ics.uci.edu/static/public/352/online+retail.zip"
MAX_BYTES = 500_000_000
"""Limit of the archive, and of the workbook in it (22.6 and 23.7 MB): a larger file is not the table."""

CONNECT_SECONDS = 3.0
"""Limit for finding the server's address and for each attempt to connect; without a network, the delay."""
READ_SECONDS = 10.0
"""Limit of the time without a byte."""

_ZIP_SIGNATURE = b"PK\x03\x04"

_BY_HAND = f"Download it yourself from {UCI_URL} and give the unpacked file with --data PATH or NEXTBASKET_DATA."


def cached_path(cache: Path, expected: str = UCI_ONLINE_RETAIL) -> Path:
    """The path of the cached copy of the table with this checksum, whether it exists or not."""
    return cache / f"online_retail-{expected[:12]}.parquet"


def download(
    cache: Path,
    *,
    timezone: str = "UTC",
    url: str = UCI_URL,
    expected: str = UCI_ONLINE_RETAIL,
    progress: bool = False,
) -> InvoiceTable:
    """Fetch the archive, read the workbook in it, check its content, and cache it as Parquet.

    A cache that cannot be written costs another download the next time, and is no error.

    Args:
        cache: Folder of the cached table.
        timezone: Zone of its dates.
        url: Address of a zip archive with the workbook.
        expected: Checksum of the table's content.
        progress: Whether to draw a progress bar on standard error.

    Raises:
        DownloadFailed: The server cannot be reached, has no such file, or closed the connection.
        WrongContent: The download is something else; it is not cached.
    """
    with tempfile.TemporaryDirectory(prefix="nextbasket-download-") as folder:
        archive = Path(folder) / "archive.zip"
        _fetch(url, archive, progress)
        table = _read(archive, url, timezone)
    found = checksum(table)
    if found != expected:
        raise WrongContent(
            f"The table downloaded from {url} is not the known UCI Online Retail (content {found[:12]}…, expected "
            f"{expected[:12]}…), so it was not saved. {_BY_HAND}"
        )
    try:
        write_cached(table, cached_path(cache, expected))
    except OSError as error:
        logger.warning("the downloaded table could not be cached in %s: %s", cache, error)
    return table


def write_cached(table: InvoiceTable, path: Path) -> None:
    """Write a table as Parquet with UCI's columns, first under a temporary name, so that it appears whole."""
    frame = table.frame[list(columns.UCI.values())].set_axis(list(columns.UCI), axis=1)
    frame["InvoiceDate"] = frame["InvoiceDate"].dt.tz_convert(table.timezone).dt.tz_localize(None)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        pq.write_table(
            pa.Table.from_pandas(frame, preserve_index=False),
            temporary,
            compression="zstd",
            write_page_checksum=True,
        )
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _fetch(url: str, target: Path, progress: bool) -> None:
    host = urlsplit(url).hostname or ""
    _resolve(host, url)
    downloader = pooch.HTTPDownloader(
        progressbar=_ProgressBar(progress), chunk_size=1 << 16, timeout=(CONNECT_SECONDS, READ_SECONDS)
    )
    try:
        downloader(url, str(target), None)
    except (OSError, ValueError) as error:  # errors of requests are OSErrors, a malformed URL is a ValueError
        raise DownloadFailed(f"{url} could not be downloaded ({_reason(error)}).") from error


def _resolve(host: str, url: str) -> None:
    """Look the server's address up within ``CONNECT_SECONDS``; the system's resolver alone may take half a minute.

    Behind a proxy nothing is looked up here: the proxy does it.
    """
    if urlsplit(url).scheme in urllib.request.getproxies() and not urllib.request.proxy_bypass(host):
        return
    failure: list[OSError] = []

    def look_up() -> None:
        try:
            socket.getaddrinfo(host, None)
        except OSError as error:
            failure.append(error)

    thread = threading.Thread(target=look_up, name="resolve", daemon=True)
    thread.start()
    thread.join(CONNECT_SECONDS)
    if thread.is_alive():
        raise DownloadFailed(f"{url} could not be downloaded (no address of {host} within {CONNECT_SECONDS:.0f} s).")
    if failure:
        raise DownloadFailed(f"{url} could not be downloaded ({_reason(failure[0])}).") from failure[0]


def _read(archive: Path, url: str, timezone: str) -> InvoiceTable:
    """The table of the one workbook in an archive."""
    try:
        with zipfile.ZipFile(archive) as opened:
            books = [member for member in opened.infolist() if member.filename.lower().endswith(".xlsx")]
            if len(books) != 1 or books[0].file_size > MAX_BYTES:
                raise WrongContent(f"The archive at {url} does not hold one workbook of the right size. {_BY_HAND}")
            workbook = archive.with_name("workbook.xlsx")
            with opened.open(books[0]) as packed, workbook.open("wb") as target:
                while block := packed.read(1 << 20):
                    target.write(block)
        return load(workbook, timezone=timezone)
    except (zipfile.BadZipFile, EOFError, NotImplementedError, DataError) as error:
        if isinstance(error, WrongContent):
            raise
        with archive.open("rb") as file:
            if isinstance(error, zipfile.BadZipFile) and file.read(4) == _ZIP_SIGNATURE:  # no length was announced
                raise DownloadFailed(f"{url} could not be downloaded (the archive is incomplete).") from error
        raise WrongContent(
            f"The download from {url} is not an archive with UCI's workbook ({_reason(error)}). {_BY_HAND}"
        ) from error


def _reason(error: BaseException) -> str:
    """The innermost cause, in a few words."""
    while (cause := error.__cause__ or error.__context__) is not None:
        error = cause
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join((text or type(error).__name__).split())[:200].rstrip(".")


class _ProgressBar:
    """The progress of pooch: drawn if wanted, and stopped when the download is too large."""

    def __init__(self, drawn: bool) -> None:
        self.total = 0
        self._drawn = drawn
        self._bar: Any = None
        self._received = 0

    def update(self, received: int) -> None:
        """Add the bytes that pooch received."""
        if self._bar is None:
            self._bar = tqdm(
                total=self.total or None, unit="B", unit_scale=True, desc="UCI Online Retail", disable=not self._drawn
            )
        self._received += received
        if max(self._received, self.total) > MAX_BYTES:
            self.close()
            raise OSError(f"more than {MAX_BYTES:,} bytes")
        self._bar.update(received)

    def reset(self) -> None:
        """Start again, as pooch does before it fills the bar."""
        self._received = 0
        with contextlib.suppress(AttributeError):
            self._bar.reset()

    def close(self) -> None:
        """Remove the bar."""
        if self._bar is not None:
            self._bar.close()
