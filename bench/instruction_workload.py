"""Writes the made-up shop that ``bench.instruction_stages`` works with: a bundle, and a workload.

Run as a script, as that one; apart from it because a fit needs libraries that take minutes to load under valgrind.
"""

import json
import pickle
import sys
from pathlib import Path

import numpy as np

from state.domain.history import add_invoice
from state.events.catalogue import CatalogueItem
from state.events.dates import DAY, to_iso
from state.events.invoice import THOUSAND, Invoice, Line
from state.events.rules import Boost, Cap, Cooldown, Exclude, ItemFilter, Rules
from training.data.walk import StateReplay
from training.features.basket_lstm.retrieval import Retrieval
from training.features.basket_lstm.view import CANDIDATE_INPUTS
from training.features.return_time.inputs import RETURN_INPUTS
from training.models.global_statistics import fit_global_statistics
from training.serving.basket_lstm.calibration import BasketCalibration
from training.serving.basket_lstm.correction import Correction
from training.serving.basket_lstm.network import HEADS, NumpyNetwork
from training.serving.basket_lstm.network import SHAPES as NETWORK
from training.serving.basket_lstm.scorer import BasketScorer, input_sizes
from training.serving.return_time.network import EDGES, NumpyReturnNetwork
from training.serving.return_time.network import SHAPES as RETURNS

CUSTOMERS = 4
ITEMS = 400
BATCHES = 10
"""More than the stage of a batch runs."""
BUNDLE, WORKLOAD = "bundle", "workload"
"""Names in the folder that the stages read."""


def main(folder: Path) -> None:
    """Write the bundle, histories, items and events of the shop."""
    generator = np.random.default_rng(7)

    def arrays(shapes: dict[str, tuple[str, ...]], known: dict[str, int]) -> dict[str, np.ndarray]:
        made = {}
        for name, axes in shapes.items():
            shape = tuple(sum(known[part] for part in axis.split("+")) for axis in axes)
            made[name] = generator.normal(size=shape).astype(np.float32) * 0.3
            if name.endswith("deviation"):
                made[name] = np.abs(made[name]) + np.float32(0.5)
        return made

    favourites = [generator.choice(ITEMS, 60, replace=False) for _ in range(40)]
    log = []
    for number in range(400):
        customer = number % len(favourites)
        codes = [*generator.choice(favourites[customer], 20, replace=False), *generator.integers(0, ITEMS, 5)]
        sign = -1 if number % 9 == 8 else 1
        log.append(
            Invoice(
                f"{number:06d}",
                f"c{customer}",
                1_300_000_000 + number * DAY // 4,
                tuple(
                    Line(
                        f"{code:05d}", sign * int(generator.integers(1, 9)) * THOUSAND, 1.0 + code / 40, f"ITEM {code}"
                    )
                    for code in sorted({int(code) for code in codes})
                ),
            )
        )
    replay = StateReplay(window=100)
    for invoice in log:
        replay.apply(invoice)
    now = log[-1].date
    statistics = fit_global_statistics(log, now)
    sizes = input_sizes()
    network = {**sizes, "cells": 24, "gates": 96, "width": 64, "second": 64, "one": 1, "heads": HEADS}
    scorer = BasketScorer(
        "bench",
        network=NumpyNetwork(arrays(NETWORK, network), sizes),
        correction=Correction(len(CANDIDATE_INPUTS), statistics.codes),
        statistics=statistics,
        calibration=BasketCalibration(),
        return_time=NumpyReturnNetwork(
            arrays(RETURNS, {"one": 1, "input": len(RETURN_INPUTS), "interval": len(EDGES) - 1, "width": 96})
        ),
        retrieval=Retrieval(),
    )
    (folder / BUNDLE).mkdir()
    scorer.save(folder / BUNDLE)
    newest = log[-CUSTOMERS:]
    before = StateReplay(window=100)
    for invoice in log[:-CUSTOMERS]:
        before.apply(invoice)
    events = [
        json.dumps(
            {
                "InvoiceNo": invoice.invoice_no,
                "InvoiceDate": to_iso(invoice.date),
                "CustomerID": invoice.customer_id,
                "StockCode": line.stock_code,
                "Description": line.description,
                "Quantity": line.quantity // THOUSAND,
                "UnitPrice": line.unit_price,
            }
        ).encode()
        for invoice in newest
        for line in invoice.lines
    ]
    merges = [(before.histories[str(invoice.customer_id)], invoice) for invoice in newest]
    histories = [add_invoice(history, invoice, 100).history for history, invoice in merges]
    rules = Rules(
        version=1,
        rules=(
            Exclude(name="out", items=ItemFilter(categories=("Department 3",))),
            Boost(name="boost", factor=1.2, items=ItemFilter(categories=("Department 1",))),
            Cooldown(name="cooldown", days=1),
            Cap(name="cap", most=6),
        ),
    )
    departments = {code: (f"Department {int(code) % 5}",) for code in replay.items.codes}
    merchandising = rules, {code: CatalogueItem(code, code, each, 1.0, 9.0) for code, each in departments.items()}
    batches = [[whole_event(invoice, number) for invoice in newest] for number in range(BATCHES)]
    (folder / WORKLOAD).write_bytes(
        pickle.dumps((log, events, merges, histories, replay.items, now, merchandising, batches))
    )


def whole_event(invoice: Invoice, number: int) -> bytes:
    """The event of a purchase of the same lines, ``number`` seconds later."""
    return json.dumps(
        {
            "invoice_no": f"{invoice.invoice_no}-{number}",
            "customer_id": invoice.customer_id,
            "invoice_date": to_iso(invoice.date + number),
            "lines": [
                {
                    "stock_code": line.stock_code,
                    "description": line.description,
                    "quantity": abs(line.quantity) // THOUSAND,
                    "unit_price": line.unit_price,
                }
                for line in invoice.lines
            ],
        }
    ).encode()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
