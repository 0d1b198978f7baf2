"""Shop: the made-up invoices in the order of time, in the columns and with the faults of UCI Online Retail."""

import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple, TypedDict, Unpack

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from training.data import columns
from training.data.simulator.catalogue import Catalogue, Floats, Ints, make_catalogue
from training.data.simulator.customers import Basket, Customers
from training.data.simulator.faults import add_faults
from training.data.simulator.profiles import GIFTS, ShopProfile

_FIRST_INVOICE = 536_365
_FIRST_CUSTOMER = 12_346
_NOBODY = -1
_RETURNED = 0.014
_MAX_RETURN_DAYS = 25
_OPENS, _CLOSES = 8 * 60, 18 * 60
_BLOCK_DAYS = 14
"""Days whose rows are made into text, soiled and handed out at once: few enough for any number of customers."""

_DTYPES = dict.fromkeys(columns.UCI, "str") | {
    "Quantity": "int64",
    "InvoiceDate": "datetime64[us]",
    "UnitPrice": "float64",
    "CustomerID": "float64",
}


class _Lines(NamedTuple):
    """Lines as numbers: ``minute`` since the shop's first midnight, ``customer`` and ``item`` rows, ``returned``."""

    invoice: Ints
    minute: Ints
    customer: Ints
    item: Ints
    quantity: Ints
    price: Floats
    returned: NDArray[np.bool_]


class ShopSize(TypedDict, total=False):
    """What of a kind of shop may be asked for otherwise, see ``ShopProfile``."""

    customers: int
    items: int
    days: int
    start: datetime


def simulate(profile: ShopProfile = GIFTS, *, seed: int = 7, **size: Unpack[ShopSize]) -> pd.DataFrame:
    """Made-up invoices as one table, with UCI's columns and types, sorted by date.

    The same arguments give the same table.

    Args:
        profile: What sort of shop.
        seed: Of all randomness.
        size: What of the kind is to be otherwise.
    """
    blocks = list(simulate_blocks(profile, seed=seed, **size))
    return pd.concat(blocks, ignore_index=True) if blocks else _empty()


def simulate_blocks(profile: ShopProfile = GIFTS, *, seed: int = 7, **size: Unpack[ShopSize]) -> Iterator[pd.DataFrame]:
    """``simulate``, two weeks at a time: memory is that of the customers, however long the shop is open."""
    profile = replace(profile, **size)
    random, faults = (np.random.default_rng(child) for child in np.random.SeedSequence(seed).spawn(2))
    catalogue = make_catalogue(profile, random)
    customers = Customers(profile, catalogue, random)
    returns: dict[int, list[Basket]] = {}
    number = _FIRST_INVOICE
    pending: list[_Lines] = []
    for day in range(profile.days):
        date = profile.start + timedelta(days=day)
        if date.weekday() != profile.closed:
            lines = _simulate_day(profile, day, date.timetuple().tm_yday, number, catalogue, customers, returns, random)
            number += len(np.unique(lines.invoice))
            pending.append(lines)
        if pending and (day % _BLOCK_DAYS == _BLOCK_DAYS - 1 or day == profile.days - 1):
            yield add_faults(_rows(pending, profile, catalogue, customers), faults)
            pending = []


def write_parquet(path: Path, profile: ShopProfile = GIFTS, *, seed: int = 7, **size: Unpack[ShopSize]) -> int:
    """Write ``simulate``'s table as Parquet, a row group every two weeks, so that memory does not grow with it.

    The file appears under its name when it is whole. Returns the number of rows.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    schema = pa.Schema.from_pandas(_empty(), preserve_index=False)
    written = 0
    try:
        with pq.ParquetWriter(aside, schema, compression="zstd") as writer:
            for block in simulate_blocks(profile, seed=seed, **size):
                writer.write_table(pa.Table.from_pandas(block, schema, preserve_index=False))
                written += len(block)
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)
    return written


def _simulate_day(
    profile: ShopProfile,
    day: int,
    day_of_year: int,
    number: int,
    catalogue: Catalogue,
    customers: Customers,
    returns: dict[int, list[Basket]],
    random: np.random.Generator,
) -> _Lines:
    """One day: customers, people without an account, and what comes back; invoices numbered on from ``number``."""
    rush = 0.85 + profile.rush * np.exp(-(((day_of_year - 315) / 40) ** 2))
    demand = catalogue.demand(day, day_of_year)
    visitors = customers.visitors(day, float(rush))
    bought = customers.draw_baskets(day, visitors, demand)
    unknown = customers.anonymous_baskets(int(random.poisson(profile.anonymous_share * len(visitors))), demand)
    back = [basket for late in sorted(returns) if late <= day for basket in returns.pop(late)]
    _schedule(returns, bought, day, random)

    baskets = [bought, unknown, *back]
    sizes = [len(basket.item) for basket in baskets]
    part = np.repeat(np.arange(len(baskets)), sizes)
    visitor = np.concatenate([basket.visitor for basket in baskets])
    visit = np.unique(part * (1 + visitor.max(initial=0)) + visitor, return_inverse=True)[1]
    minute = random.integers(_OPENS, _CLOSES, visit.max(initial=-1) + 1)
    place = np.argsort(np.argsort(minute, kind="stable"), kind="stable")
    order = np.argsort(place[visit], kind="stable")
    return _Lines(
        invoice=number + place[visit][order],
        minute=day * 1_440 + minute[visit][order],
        customer=np.where(part == 1, _NOBODY, visitor)[order],
        item=np.concatenate([basket.item for basket in baskets])[order],
        quantity=np.concatenate([basket.quantity for basket in baskets])[order],
        price=np.concatenate([basket.price for basket in baskets])[order],
        returned=(part > 1)[order],
    )


def _schedule(returns: dict[int, list[Basket]], bought: Basket, day: int, random: np.random.Generator) -> None:
    """Some lines come back some days later, whole or in part; those of one customer together."""
    back = np.flatnonzero(random.random(len(bought.item)) < _RETURNED)
    part = random.integers(1, bought.quantity[back] + 1)
    quantity = -np.where(random.random(len(back)) < 0.5, bought.quantity[back], part)
    wait = random.integers(1, _MAX_RETURN_DAYS, len(back))[np.unique(bought.visitor[back], return_inverse=True)[1]]
    for days in np.unique(wait).tolist():
        at = back[wait == days]
        late = Basket(bought.visitor[at], bought.item[at], quantity[wait == days], bought.price[at])
        returns.setdefault(day + days, []).append(late)


def _rows(pending: list[_Lines], profile: ShopProfile, catalogue: Catalogue, customers: Customers) -> pd.DataFrame:
    """Lines in UCI's columns."""
    lines = _Lines(*(np.concatenate(column) for column in zip(*pending, strict=True)))
    digits = pd.Series(lines.invoice).astype("str")
    known = lines.customer != _NOBODY
    frame = pd.DataFrame(
        {
            "InvoiceNo": digits.where(~lines.returned, "C" + digits),
            "StockCode": catalogue.stock_code[lines.item],
            "Description": catalogue.description[lines.item],
            "Quantity": lines.quantity,
            "InvoiceDate": profile.start + pd.Series(pd.to_timedelta(lines.minute, unit="min")),
            "UnitPrice": lines.price,
            "CustomerID": np.where(known, lines.customer + _FIRST_CUSTOMER, np.nan),
            "Country": np.where(known, customers.country[lines.customer], profile.countries[0]),
        }
    )
    return frame.astype(_DTYPES)


def _empty() -> pd.DataFrame:
    return pd.DataFrame({name: pd.Series(dtype=profile) for name, profile in _DTYPES.items()})
