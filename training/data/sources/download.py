"""Download: UCI Online Retail from UCI's own server, checked, and kept as Parquet."""

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
"""Of the archive, and of the workbook in it (22.6 and 23.7 MB): what is larger is not the table."""

CONNECT_SECONDS = 3.0
"""For finding the server's address and for each try to connect; also how soon a missing network is noticed."""
READ_SECONDS = 10.0
"""Without a single byte."""

_ZIP = b"PK\x03\x04"

_KEEP_OWN_WAY = f"Download it yourself from {UCI_URL} and give the unpacked file with --data PATH or NEXTBASKET_DATA."


def cached_path(cache: Path, expected: str = UCI_ONLINE_RETAIL) -> Path:
    """Where the cached copy of the table with this checksum lies, if there is one."""
    return cache / f"online_retail-{expected[:12]}.parquet"


def download(
    cache: Path,
    *,
    timezone: str = "UTC",
    url: str = UCI_URL,
    expected: str = UCI_ONLINE_RETAIL,
    progress: bool = False,
) -> InvoiceTable:
    """Fetch the archive, read the workbook in it, check what it says, and keep it as Parquet.

    What is kept appears under its name in one step; a folder that cannot be written only costs the next download.

    Args:
        cache: Folder to keep the table in.
        timezone: Zone in which its dates are read.
        url: Of a zip archive with the workbook.
        expected: Checksum of the table's content.
        progress: Whether to draw a bar on standard error.

    Raises:
        DownloadFailed: The server cannot be reached, has no such file, or broke off.
        WrongContent: What came is something else; nothing of it is kept.
    """
    with tempfile.TemporaryDirectory(prefix="nextbasket-download-") as folder:
        archive = Path(folder) / "archive.zip"
        _fetch(url, archive, progress)
        table = _read(archive, url, timezone)
    found = checksum(table)
    if found != expected:
        raise WrongContent(
            f"The table downloaded from {url} is not UCI Online Retail as we know it (content {found[:12]}…, expected "
            f"{expected[:12]}…), so it was not kept. {_KEEP_OWN_WAY}"
        )
    try:
        write_cached(table, cached_path(cache, expected))
    except OSError as error:
        logger.warning("the downloaded table could not be kept in %s: %s", cache, error)
    return table


def write_cached(table: InvoiceTable, path: Path) -> None:
    """Write a table as Parquet with UCI's columns: aside first, then under its name in one step."""
    frame = table.frame[list(columns.UCI.values())].set_axis(list(columns.UCI), axis=1)
    frame["InvoiceDate"] = frame["InvoiceDate"].dt.tz_convert(table.timezone).dt.tz_localize(None)
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        pq.write_table(
            pa.Table.from_pandas(frame, preserve_index=False),
            aside,
            compression="zstd",
            write_page_checksum=True,
        )
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def _fetch(url: str, target: Path, progress: bool) -> None:
    host = urlsplit(url).hostname or ""
    _resolve(host, url)
    downloader = pooch.HTTPDownloader(
        progressbar=_Bar(progress), chunk_size=1 << 16, timeout=(CONNECT_SECONDS, READ_SECONDS)
    )
    try:
        downloader(url, str(target), None)
    except (
        OSError,
        ValueError,
    ) as error:  # requests derives its errors from OSError; a URL that is none is a ValueError
        raise DownloadFailed(f"{url} could not be downloaded ({_reason(error)}).") from error


def _resolve(host: str, url: str) -> None:
    """Find the server's address within ``CONNECT_SECONDS``; the system's own resolver may take half a minute.

    Behind a proxy it is the proxy that finds it.
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
                raise WrongContent(
                    f"The archive at {url} does not hold one workbook of the right size. {_KEEP_OWN_WAY}"
                )
            workbook = archive.with_name("workbook.xlsx")
            with opened.open(books[0]) as packed, workbook.open("wb") as target:
                while block := packed.read(1 << 20):
                    target.write(block)
        return load(workbook, timezone=timezone)
    except (zipfile.BadZipFile, EOFError, NotImplementedError, DataError) as error:
        if isinstance(error, WrongContent):
            raise
        with archive.open("rb") as file:
            if isinstance(error, zipfile.BadZipFile) and file.read(4) == _ZIP:  # no length was announced
                raise DownloadFailed(f"{url} could not be downloaded (the archive broke off).") from error
        raise WrongContent(
            f"What {url} sent is not an archive with UCI's workbook ({_reason(error)}). {_KEEP_OWN_WAY}"
        ) from error


def _reason(error: BaseException) -> str:
    """The innermost cause, in a few words."""
    while (cause := error.__cause__ or error.__context__) is not None:
        error = cause
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join((text or type(error).__name__).split())[:200].rstrip(".")


class _Bar:
    """What pooch tells about its progress: drawn if wanted, and stopped when it is too much."""

    def __init__(self, drawn: bool) -> None:
        self.total = 0
        self._drawn = drawn
        self._bar: Any = None
        self._received = 0

    def update(self, received: int) -> None:
        """Pooch received that many bytes more."""
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
        """Pooch is about to fill the bar."""
        self._received = 0
        with contextlib.suppress(AttributeError):
            self._bar.reset()

    def close(self) -> None:
        """Pooch is done."""
        if self._bar is not None:
            self._bar.close()
