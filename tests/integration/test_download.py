"""The download of UCI's table against a server on this machine that behaves and misbehaves in every way."""

import socket
import tempfile
import threading
import zipfile
from collections.abc import Iterator
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from state.settings import Settings
from tests.unit.data.workbook import Row, write_workbook
from training.data.errors import DownloadFailed, WrongContent
from training.data.sources import download as download_module
from training.data.sources.checksum import checksum
from training.data.sources.download import cached_path, download
from training.data.sources.source import find_source
from training.data.tables.invoice_table import InvoiceTable, load

DATE = datetime(2010, 12, 1, 8, 26)  # noqa: DTZ001 - a workbook's dates have no zone
HEADER: Row = ["InvoiceNo", "StockCode", "Description", "Quantity", "InvoiceDate", "UnitPrice", "CustomerID", "Country"]


def row(number: int) -> Row:
    return [536365 + number, "85123A", "WHITE HANGING HEART ", 6 + number, DATE, 2.55, 17850, "United Kingdom"]


ROWS = [HEADER, *(row(number) for number in range(400))]


class Server(ThreadingHTTPServer):
    """Answers every path with ``content``; ``announced`` and ``sent`` bytes of it, after a status or never."""

    daemon_threads = True
    content = b""
    status = 200
    announced: int | None = None
    sent: int | None = None
    silent = False
    requests = 0

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.over = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/online+retail.zip"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        server = self.server
        server.requests += 1
        if server.silent:
            server.over.wait(30)
            return
        self.send_response(server.status)
        if server.announced is not None:
            self.send_header("Content-Length", str(server.announced))
        self.end_headers()
        self.wfile.write(server.content[: server.sent])

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield running
        running.over.set()
        running.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where temporary files go; empty again after every test."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    yield folder
    assert list(folder.iterdir()) == []


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def published(tmp_path: Path) -> InvoiceTable:
    """The table as UCI has it, in small."""
    return load(write_workbook(tmp_path / "book.xlsx", {"Online Retail": ROWS}))


@pytest.fixture
def archive(tmp_path: Path, published: InvoiceTable) -> bytes:
    return pack(tmp_path, {"Online Retail.xlsx": (tmp_path / "book.xlsx").read_bytes()})


def pack(folder: Path, members: dict[str, bytes]) -> bytes:
    with zipfile.ZipFile(folder / "packed.zip", "w") as packed:
        for name, content in members.items():
            packed.writestr(name, content)
    return (folder / "packed.zip").read_bytes()


def serve(server: Server, content: bytes) -> None:
    server.content = content
    server.announced = len(content)


def test_the_table_is_downloaded_and_cached(
    server: Server, archive: bytes, published: InvoiceTable, cache: Path
) -> None:
    serve(server, archive)
    expected = checksum(published)

    table = download(cache, url=server.url, expected=expected)

    assert table.frame.equals(published.frame)
    assert [path.name for path in cache.iterdir()] == [f"online_retail-{expected[:12]}.parquet"]
    kept = load(cached_path(cache, expected))
    assert kept.uci
    assert checksum(kept) == expected


def test_the_cached_copy_is_used_the_second_time(
    server: Server, archive: bytes, published: InvoiceTable, cache: Path
) -> None:
    serve(server, archive)
    settings = Settings(cache=cache)
    expected = checksum(published)

    first = find_source(settings, url=server.url, expected=expected)
    second = find_source(settings, url=server.url, expected=expected)

    assert (first.kind, second.kind) == ("download", "cache")
    assert server.requests == 1
    assert first.table.frame.equals(second.table.frame)
    assert "downloaded from http://127.0.0.1" in first.sentence
    assert str(cache) in second.sentence


def test_dates_are_read_in_the_zone_of_the_settings(
    server: Server, archive: bytes, published: InvoiceTable, cache: Path
) -> None:
    serve(server, archive)
    settings = Settings(cache=cache, timezone="Asia/Tokyo")
    expected = checksum(published)

    found = [find_source(settings, url=server.url, expected=expected) for _ in range(2)]

    assert [source.kind for source in found] == ["download", "cache"]
    for source in found:
        assert source.table.frame["invoice_date"].iloc[0].hour == 23


def test_another_table_is_refused_and_not_cached(server: Server, archive: bytes, cache: Path) -> None:
    serve(server, archive)

    with pytest.raises(WrongContent, match=r"not the known UCI Online Retail.*--data PATH"):
        download(cache, url=server.url)

    assert not cache.exists()


@pytest.mark.parametrize(
    "members",
    [{}, {"readme.txt": b"hello"}, {"a.xlsx": b"", "b.xlsx": b""}, {"a.xlsx": b"no workbook"}],
    ids=["empty", "no workbook", "two workbooks", "damaged workbook"],
)
def test_another_archive_is_refused(server: Server, tmp_path: Path, cache: Path, members: dict[str, bytes]) -> None:
    serve(server, pack(tmp_path, members))

    with pytest.raises(WrongContent, match="--data PATH"):
        download(cache, url=server.url)


def test_a_login_page_is_refused(server: Server, cache: Path) -> None:
    serve(server, b"<html>Please log in to this network</html>")

    with pytest.raises(WrongContent, match="not an archive"):
        find_source(Settings(cache=cache), url=server.url)


def test_a_flipped_bit_in_the_archive_is_refused(
    server: Server, archive: bytes, published: InvoiceTable, cache: Path
) -> None:
    middle = len(archive) // 2
    serve(server, archive[:middle] + bytes([archive[middle] ^ 1]) + archive[middle + 1 :])

    with pytest.raises((WrongContent, DownloadFailed)):
        download(cache, url=server.url, expected=checksum(published))

    assert not cache.exists()


@pytest.mark.parametrize("status", [404, 403, 500, 503])
def test_a_server_without_the_file_leads_to_the_simulator(server: Server, cache: Path, status: int) -> None:
    server.status = status

    with pytest.raises(DownloadFailed, match=str(status)):
        download(cache, url=server.url)
    source = find_source(Settings(cache=cache), url=server.url, customers=30)

    assert source.kind == "simulator"
    assert source.sentence.startswith(
        "Data: generated by the simulator (30 customers, seed 7), because http://127.0.0.1"
    )
    assert str(status) in source.sentence
    assert not cache.exists()


def test_a_refused_connection_leads_to_the_simulator(cache: Path) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # bound and not listening: nobody else can answer there
        url = f"http://127.0.0.1:{bound.getsockname()[1]}/online+retail.zip"

        source = find_source(Settings(cache=cache, seed=3), url=url, customers=30)

    assert source.kind == "simulator"
    assert "Connection refused" in source.sentence
    assert "seed 3" in source.sentence
    assert source.table.uci
    assert source.table.frame["customer_id"].nunique() > 10


def test_a_host_without_an_address_leads_to_the_simulator(cache: Path) -> None:
    assert find_source(Settings(cache=cache), url="http://nowhere.invalid/x.zip", customers=30).kind == "simulator"


def test_a_resolver_without_an_answer_is_abandoned(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()
    monkeypatch.setattr(download_module, "CONNECT_SECONDS", 0.05)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_: over.wait(30))

    with pytest.raises(DownloadFailed, match="no address of nowhere"):
        download(cache, url="http://nowhere.invalid/x.zip")
    over.set()


def test_a_silent_server_is_abandoned(server: Server, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download_module, "READ_SECONDS", 0.2)
    server.silent = True

    with pytest.raises(DownloadFailed, match="timed out"):
        download(cache, url=server.url)


@pytest.mark.parametrize("announced", [True, False])
def test_an_incomplete_body_leads_to_the_simulator(
    server: Server, archive: bytes, published: InvoiceTable, cache: Path, announced: bool
) -> None:
    serve(server, archive)
    server.sent = len(archive) // 2
    if not announced:
        server.announced = None
    expected = checksum(published)

    with pytest.raises(DownloadFailed, match="could not be downloaded"):
        download(cache, url=server.url, expected=expected)
    assert find_source(Settings(cache=cache), url=server.url, expected=expected, customers=30).kind == "simulator"
    assert not cache.exists()

    server.sent = None
    assert find_source(Settings(cache=cache), url=server.url, expected=expected).kind == "download"


@pytest.mark.parametrize("name", [".{}.0123", "{}"])
def test_a_partial_file_is_never_used(
    server: Server, archive: bytes, published: InvoiceTable, cache: Path, name: str
) -> None:
    serve(server, archive)
    expected = checksum(published)
    download(cache, url=server.url, expected=expected)
    kept = cached_path(cache, expected)
    whole = kept.read_bytes()
    kept.unlink()
    kept.with_name(name.format(kept.name)).write_bytes(whole[: len(whole) // 2])

    source = find_source(Settings(cache=cache), url=server.url, expected=expected)

    assert source.kind == "download"
    assert checksum(load(kept)) == expected


def test_a_flipped_bit_in_the_cached_copy_is_noticed(
    server: Server, archive: bytes, published: InvoiceTable, cache: Path
) -> None:
    serve(server, archive)
    expected = checksum(published)
    download(cache, url=server.url, expected=expected)
    kept = cached_path(cache, expected)
    raw = bytearray(kept.read_bytes())
    raw[60] ^= 1
    kept.write_bytes(raw)

    assert find_source(Settings(cache=cache), url=server.url, expected=expected).kind == "download"


def test_a_cache_that_cannot_be_written_is_no_error(
    server: Server, archive: bytes, published: InvoiceTable, cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    serve(server, archive)
    cache.write_text("a file where the folder should be")

    table = download(cache, url=server.url, expected=checksum(published))

    assert len(table.frame) == 400
    assert "could not be cached" in caplog.text


def test_an_endless_body_is_stopped(
    server: Server, archive: bytes, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(server, archive)
    monkeypatch.setattr(download_module, "MAX_BYTES", 1_000)

    with pytest.raises(DownloadFailed, match="more than 1,000 bytes"):
        download(cache, url=server.url)


def test_progress_is_drawn_if_wanted(
    server: Server, archive: bytes, published: InvoiceTable, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    serve(server, archive)
    expected = checksum(published)

    download(cache, url=server.url, expected=expected)
    assert capsys.readouterr().err == ""
    download(cache, url=server.url, expected=expected, progress=True)
    assert "UCI Online Retail: 100%" in capsys.readouterr().err
