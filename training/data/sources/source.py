"""Sources: where the invoices come from when nobody says, in a fixed order, and said plainly.

The path given, then ``NEXTBASKET_DATA``, then the cached copy of UCI Online Retail, then its download, and where there
is no network, the simulator.
"""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from state.settings import Settings
from training.data.errors import DataError, DownloadFailed
from training.data.simulator import simulate
from training.data.sources.checksum import UCI_ONLINE_RETAIL
from training.data.sources.download import UCI_URL, cached_path, download
from training.data.tables.invoice_table import InvoiceTable, from_frame, load

logger = logging.getLogger(__name__)

CREDIT = "UCI Online Retail (Daqing Chen, doi 10.24432/C5BW33, CC BY 4.0)"


@dataclass(frozen=True)
class Source:
    """A raw table, where it came from, and a sentence that says so."""

    table: InvoiceTable
    kind: Literal["path", "setting", "cache", "download", "simulator"]
    sentence: str


def find_source(
    settings: Settings,
    path: Path | None = None,
    *,
    customers: int = 1_500,
    progress: bool = False,
    url: str = UCI_URL,
    expected: str = UCI_ONLINE_RETAIL,
) -> Source:
    """The first source that is there.

    A path or setting that is wrong is an error, never passed over. A server that cannot be reached leads to the
    simulator; one that sends something else than the table is an error.

    Args:
        settings: Where data and cache are, the zone of dates, the seed.
        path: What the command line says, if anything.
        customers: How many the simulator makes up.
        progress: Whether a download draws a bar on standard error.
        url: Of the archive.
        expected: Checksum of the table in it.

    Raises:
        DataError: The table at the path or of the setting cannot be read, or a download was not what it should be.
    """
    if path is not None:
        return Source(load(path, timezone=settings.timezone), "path", f"Data: {path}.")
    if settings.data is not None:
        table = load(settings.data, timezone=settings.timezone)
        return Source(table, "setting", f"Data: {settings.data} (NEXTBASKET_DATA).")
    cached = cached_path(settings.cache, expected)
    if cached.exists():
        try:
            table = load(cached, timezone=settings.timezone)
            return Source(table, "cache", f"Data: {CREDIT}, the copy kept at {cached}.")
        except DataError as error:
            logger.warning("downloading again: %s", error)
    try:
        table = download(settings.cache, timezone=settings.timezone, url=url, expected=expected, progress=progress)
    except DownloadFailed as error:
        logger.info("%s", error)
        table = from_frame(simulate(customers=customers, seed=settings.seed), timezone=settings.timezone)
        return Source(
            table,
            "simulator",
            f"Data: made up by the simulator ({customers:,} customers, seed {settings.seed}), because {error} "
            "For real data give --data PATH or NEXTBASKET_DATA.",
        )
    return Source(table, "download", f"Data: {CREDIT}, downloaded from {url}.")
