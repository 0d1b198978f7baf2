"""Shop: generated invoices in the order of time, in the columns and with the faults of UCI Online Retail."""

import shutil
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import chain, count
from pathlib import Path
from typing import NamedTuple, TypedDict, Unpack

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from training import progress
from training.data import columns
from training.data.simulator.catalogue import Floats, Ints, make_catalogue
from training.data.simulator.customers import Basket, Customers
from training.data.simulator.faults import add_faults
from training.data.simulator.profiles import GIFTS, ShopProfile

_FIRST_INVOICE = 536_365
_FIRST_CUSTOMER = 12_346
_ANONYMOUS = -1
"""Row of the customer of an anonymous line."""
_RETURN_SHARE = 0.014
"""Share of the lines that are returned."""
_MAX_RETURN_DAYS = 25
_OPENS, _CLOSES = 8 * 60, 18 * 60
"""Minutes of the day."""
_BLOCK_DAYS = 14
"""Days of a block of rows."""
_BLOCK_ROWS = 400_000
"""A block ends early where it has so many rows: few enough to be in memory for any number of customers."""

_DTYPES = dict.fromkeys(columns.UCI, "str") | {
    "Quantity": "int64",
    "InvoiceDate": "datetime64[us]",
    "UnitPrice": "float64",
    "CustomerID": "float64",
}


class _Lines(NamedTuple):
    """Lines as numbers: ``minute`` since midnight of the first day, ``customer`` and ``item`` as rows."""

    invoice: Ints
    minute: Ints
    customer: Ints
    item: Ints
    quantity: Ints
    price: Floats
    returned: NDArray[np.bool_]


class ShopSize(TypedDict, total=False):
    """Values of a ``ShopProfile`` that may be replaced."""

    customers: int
    items: int
    days: int
    start: datetime
    size: tuple[float, float, float, float]


def simulate(profile: ShopProfile = GIFTS, *, seed: int = 7, **size: Unpack[ShopSize]) -> pd.DataFrame:
    """Generate invoices as one table with UCI's columns and types, sorted by date.

    The same arguments give the same table.

    Args:
        profile: Of the shop.
        seed: Of all random numbers.
        size: Values that replace those of the profile.
    """
    blocks = list(simulate_blocks(profile, seed=seed, **size))
    return pd.concat(blocks, ignore_index=True) if blocks else _empty()


def simulate_blocks(profile: ShopProfile = GIFTS, *, seed: int = 7, **size: Unpack[ShopSize]) -> Iterator[pd.DataFrame]:
    """``simulate``, at most two weeks at a time; memory grows with the number of customers, not with that of days."""
    profile = replace(profile, **size)
    random, faults = (np.random.default_rng(child) for child in np.random.SeedSequence(seed).spawn(2))
    shop = _Shop(profile, random)
    pending: list[_Lines] = []
    for day in range(profile.days):
        if (profile.start + timedelta(days=day)).weekday() != profile.closed:
            pending.append(shop.simulate_day(day))
        ends = day % _BLOCK_DAYS == _BLOCK_DAYS - 1 or day == profile.days - 1
        if pending and (ends or sum(len(lines.item) for lines in pending) >= _BLOCK_ROWS):
            yield add_faults(shop.to_rows(pending), faults)
            pending = []
        progress.update(day + 1, profile.days)


def write_parquet(path: Path, profile: ShopProfile = GIFTS, *, seed: int = 7, **size: Unpack[ShopSize]) -> int:
    """Write the table of ``simulate`` as Parquet, a row group a block, in the memory of ``simulate_blocks``.

    The file appears under its name once it is complete.

    Returns:
        The number of rows.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        written = _write_blocks(temporary, simulate_blocks(profile, seed=seed, **size))
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return written


def write_parts(
    folder: Path, profile: ShopProfile = GIFTS, *, part_rows: int, seed: int = 7, **size: Unpack[ShopSize]
) -> int:
    """Write the table of ``simulate`` as a folder of Parquet files; a file ends with the block that fills it.

    The folder, which must not be there yet or be empty, appears under its name once all files are complete.

    Args:
        folder: Where to write ``part-00000.parquet`` and so on.
        profile: Of the shop.
        part_rows: Rows of a file, at least.
        seed: Of all random numbers.
        size: Values that replace those of the profile.

    Returns:
        The number of rows.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}")
    temporary.mkdir()
    blocks = simulate_blocks(profile, seed=seed, **size)
    written = 0
    try:
        for part in count():
            first = next(blocks, None)
            if first is None and part:
                break
            of_part = _until(part_rows, chain([] if first is None else [first], blocks))
            written += _write_blocks(temporary / f"part-{part:05}.parquet", of_part)
        temporary.replace(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return written


def _until(rows: int, blocks: Iterable[pd.DataFrame]) -> Iterator[pd.DataFrame]:
    """The first blocks that have so many rows together."""
    found = 0
    for block in blocks:
        yield block
        found += len(block)
        if found >= rows:
            return


def _write_blocks(path: Path, blocks: Iterable[pd.DataFrame]) -> int:
    """Write blocks as one Parquet file, and return the number of rows."""
    schema = pa.Schema.from_pandas(_empty(), preserve_index=False)
    written = 0
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for block in blocks:
            writer.write_table(pa.Table.from_pandas(block, schema, preserve_index=False))
            written += len(block)
    return written


class _Shop:
    """The shop from day to day: its catalogue, its customers, and what they are going to return."""

    def __init__(self, profile: ShopProfile, random: np.random.Generator) -> None:
        self._profile = profile
        self._random = random
        self._catalogue = make_catalogue(profile, random)
        self._customers = Customers(profile, self._catalogue, random)
        self._returns: dict[int, list[Basket]] = {}
        self._next_invoice = _FIRST_INVOICE

    def simulate_day(self, day: int) -> _Lines:
        """Lines of a day in the order of time: of customers, of people without an account, and returns."""
        random = self._random
        day_of_year = (self._profile.start + timedelta(days=day)).timetuple().tm_yday
        rush = 0.85 + self._profile.rush * np.exp(-(((day_of_year - 315) / 40) ** 2))
        demand = self._catalogue.demand(day, day_of_year)
        visitors = self._customers.visitors(day, float(rush))
        bought = self._customers.draw_baskets(day, visitors, demand)
        anonymous = self._customers.anonymous_baskets(
            int(random.poisson(self._profile.anonymous * len(visitors))), demand
        )
        returned = [basket for due in sorted(self._returns) if due <= day for basket in self._returns.pop(due)]
        self._schedule_returns(bought, day)

        baskets = [bought, anonymous, *returned]
        part = np.repeat(np.arange(len(baskets)), [len(basket.item) for basket in baskets])
        visitor = np.concatenate([basket.visitor for basket in baskets])
        visit = np.unique(part * (1 + visitor.max(initial=0)) + visitor, return_inverse=True)[1]
        minute = random.integers(_OPENS, _CLOSES, visit.max(initial=-1) + 1)
        rank = np.argsort(np.argsort(minute, kind="stable"), kind="stable")  # of the visits by their minute
        order = np.argsort(rank[visit], kind="stable")
        first_invoice = self._next_invoice
        self._next_invoice += len(minute)
        return _Lines(
            invoice=first_invoice + rank[visit][order],
            minute=day * 1_440 + minute[visit][order],
            customer=np.where(part == 1, _ANONYMOUS, visitor)[order],
            item=np.concatenate([basket.item for basket in baskets])[order],
            quantity=np.concatenate([basket.quantity for basket in baskets])[order],
            price=np.concatenate([basket.price for basket in baskets])[order],
            returned=(part > 1)[order],
        )

    def _schedule_returns(self, bought: Basket, day: int) -> None:
        """Draw the lines that are returned some days later, whole or in part; those of one customer together."""
        random = self._random
        line = np.flatnonzero(random.random(len(bought.item)) < _RETURN_SHARE)
        part = random.integers(1, bought.quantity[line] + 1)
        quantity = -np.where(random.random(len(line)) < 0.5, bought.quantity[line], part)
        wait = random.integers(1, _MAX_RETURN_DAYS, len(line))[np.unique(bought.visitor[line], return_inverse=True)[1]]
        for days in np.unique(wait).tolist():
            due = line[wait == days]
            basket = Basket(bought.visitor[due], bought.item[due], quantity[wait == days], bought.price[due])
            self._returns.setdefault(day + days, []).append(basket)

    def to_rows(self, days: list[_Lines]) -> pd.DataFrame:
        """Lines in UCI's columns."""
        profile, catalogue = self._profile, self._catalogue
        lines = _Lines(*(np.concatenate(column) for column in zip(*days, strict=True)))
        digits = pd.Series(lines.invoice).astype("str")
        known = lines.customer != _ANONYMOUS
        frame = pd.DataFrame(
            {
                "InvoiceNo": digits.where(~lines.returned, "C" + digits),
                "StockCode": catalogue.stock_code[lines.item],
                "Description": catalogue.description[lines.item],
                "Quantity": lines.quantity,
                "InvoiceDate": profile.start + pd.Series(pd.to_timedelta(lines.minute, unit="min")),
                "UnitPrice": lines.price,
                "CustomerID": np.where(known, lines.customer + _FIRST_CUSTOMER, np.nan),
                "Country": np.where(known, self._customers.country[lines.customer], profile.countries[0]),
            }
        )
        return frame.astype(_DTYPES)


def _empty() -> pd.DataFrame:
    return pd.DataFrame({name: pd.Series(dtype=dtype) for name, dtype in _DTYPES.items()})
