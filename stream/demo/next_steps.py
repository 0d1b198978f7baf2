"""``nextbasket demo --keep``: three commands for another terminal, with the settings of the demo's servers."""

import csv
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from state.domain.recommendation import Item
from state.events.dates import to_iso
from state.events.invoice import Line

INVOICE_NO = "999001"
"""Of the invoice to send: no cancellation and no adjustment in any dialect."""

_UCI_COLUMNS = (
    "InvoiceNo",
    "StockCode",
    "Description",
    "Quantity",
    "InvoiceDate",
    "UnitPrice",
    "CustomerID",
    "Country",
)
_COLUMNS = ("invoice_no", "stock_code", "description", "quantity", "invoice_date", "unit_price", "customer_id")


@dataclass(frozen=True)
class NextSteps:
    """Commands for a shell: the one that loads the settings, and those to try, each with what it does."""

    load_settings: str
    commands: Sequence[tuple[str, str]]


def write_next_steps(
    folder: Path, variables: dict[str, str], *, dialect: str, customer: str, bought: Item | Line, date: int
) -> NextSteps:
    """Write the files that the commands read, and return the commands.

    Args:
        folder: Of the files.
        variables: Settings as environment variables.
        dialect: That of the settings; the table to send is written in the columns that belong to it.
        customer: The customer of the commands.
        bought: What the customer buys on the invoice to send.
        date: When, in UTC seconds.
    """
    environment = folder / "environment"
    environment.write_text(
        "".join(f"export {name}={shlex.quote(value)}\n" for name, value in sorted(variables.items()))
        + f'export PATH={shlex.quote(str(Path(sys.executable).parent))}:"$PATH"\n'
    )
    table = folder / "invoice.csv"
    row = [INVOICE_NO, bought.stock_code, bought.description or "", 1, to_iso(date), 1, customer]
    with table.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([_UCI_COLUMNS, [*row, ""]] if dialect == "uci" else [_COLUMNS, row])
    field = f'"customer_id":{msgspec.json.encode(customer).decode()}'
    return NextSteps(
        load_settings=f". {shlex.quote(str(environment))}",
        commands=[
            (f"nextbasket show {shlex.quote(customer)}", "a customer: history, recommendation, why"),
            (f"nextbasket replay {shlex.quote(str(table))}", "an invoice of that customer, into Kafka"),
            (
                f"nextbasket export recommendations | grep -F {shlex.quote(field)}",
                "the recommendation after it, from Redis",
            ),
        ],
    )
