"""Processor instructions of each stage from an event to its recommendation, counted by valgrind: no clock, no load.

    python -m bench.instructions
    python -m bench.instructions --baseline TREE
    python -m bench.instructions --store

valgrind counts what a simulated processor executes, so other work on the machine changes nothing, and two runs differ
by less than 1 %. Stages are compared by their ratio to a reference of Python and NumPy calls that is counted in the
same run, which takes out most of the difference between builds of Python. ``--baseline`` counts another checkout in the
same run. ``--store`` writes the ratios that ``tests/cli/test_instructions.py`` compares with. Needs valgrind (``apt-get
install valgrind``) and a processor of the kind x86-64. Takes half a minute of processor time a tree.

A made-up shop of 400 items, a batch of four customers, a network of the usual size with random weights.
"""

import argparse
import gc
import json
import os
import pickle
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

STORED = Path(__file__).with_suffix(".json")
REFERENCE = "reference"
CUSTOMERS = 4
ITEMS = 400
K = 10
RUNS = 5
"""How often each stage runs; then a fifth as often, to show that so many more instructions would be noticed."""
SLOWER = 1.15
"""A stage is too slow from so many times its stored ratio on."""

_FILE = Path(__file__).resolve()
_BUNDLE, _WORKLOAD, _STAGES = "bundle", "workload", "stages.json"
_PINNED = {
    "PYTHONHASHSEED": "0",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "OPENBLAS_CORETYPE": "Haswell",  # valgrind knows no AVX-512
    "OPENBLAS_L2_SIZE": "512",
    "TF_CPP_MIN_LOG_LEVEL": "3",
}


class Counts(NamedTuple):
    """Instructions of each stage over those of the reference: as it is, and with a fifth more of its runs."""

    ratios: dict[str, float]
    slowed: dict[str, float]


def count(tree: Path = _FILE.parents[1]) -> Counts:
    """Counts the stages of a checkout.

    Raises:
        RuntimeError: valgrind is missing or failed.
    """
    valgrind = shutil.which("valgrind")
    if valgrind is None:
        raise RuntimeError("valgrind is not installed: apt-get install valgrind")
    if platform.machine() not in {"x86_64", "AMD64"}:
        raise RuntimeError("instructions are counted on x86-64 only")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        environment = os.environ | _PINNED | {"PYTHONPATH": str(tree)}
        # -P: or this file's folder, which has a module named stream, would come before the tree.
        python = [sys.executable, "-P", str(_FILE)]
        _run([*python, "--build", name], tree, environment)
        options = ["--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={folder / 'counts'}"]
        _run([valgrind, *options, *python, "--stages", name], tree, environment)
        stages = json.loads((folder / _STAGES).read_text())
        files = sorted(folder.glob("counts.*"), key=lambda file: int(file.suffix[1:]))
        counts = [_total(file) for file in files]
    if len(counts) not in {3 * len(stages), 3 * len(stages) + 1}:
        raise RuntimeError(f"valgrind wrote {len(counts)} counts for {len(stages)} stages")
    found, further = (dict(zip(stages, counts[part : 3 * len(stages) : 3], strict=True)) for part in (1, 2))
    slowed = {stage: found[stage] + further[stage] for stage in stages}
    reference = found[REFERENCE]
    return Counts(
        *({stage: each[stage] / reference for stage in stages if stage != REFERENCE} for each in (found, slowed))
    )


def slower(counted: dict[str, float], stored: dict[str, float]) -> dict[str, float]:
    """The stages that are too slow, and how many times their stored ratio they take."""
    return {stage: counted[stage] / ratio for stage, ratio in stored.items() if counted[stage] > SLOWER * ratio}


def _run(command: list[str], tree: Path, environment: dict[str, str]) -> None:
    done = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")


def _total(file: Path) -> int:
    found = re.search(r"^(?:totals|summary): (\d+)", file.read_text(), re.MULTILINE)
    if found is None:
        raise RuntimeError(f"{file.name} has no total")
    return int(found[1])


def build(folder: Path) -> None:
    """Write the bundle, histories, items and events of the shop."""
    import numpy as np  # imported here, as in ``serve``: the process that starts the others needs none of it

    from state.domain.history import add_invoice
    from state.events.dates import DAY, to_iso
    from state.events.invoice import THOUSAND, Invoice, Line
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

    generator = np.random.default_rng(7)

    def arrays(shapes: dict[str, tuple[str, ...]], known: dict[str, int]) -> dict[str, "np.ndarray"]:
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
    (folder / _BUNDLE).mkdir()
    scorer.save(folder / _BUNDLE)
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
    (folder / _WORKLOAD).write_bytes(pickle.dumps((events, merges, histories, replay.items, now)))


def serve(folder: Path) -> None:
    """Run each stage between two marks; once before, so that what is computed once is there."""
    import msgspec
    import numpy as np

    from state.domain.catalogue import Catalogue
    from state.domain.history import CustomerHistory, add_invoice
    from state.domain.recommendation import ModelVersion, Trigger
    from state.domain.rules import CompiledRules, Merchandising
    from state.events.catalogue import CatalogueItem
    from state.events.dates import to_iso
    from state.events.rules import Boost, Cap, Cooldown, Exclude, ItemFilter, Rules
    from state.events.wire import Decoder
    from state.settings import load_settings
    from state.store.protocol import CustomerUpdate
    from stream.pipeline.recommendations import BatchContext, recommend
    from stream.pipeline.recommender import recommendation_message
    from stream.pipeline.selector import Selector
    from training.features.basket_lstm.candidates import explaining_items
    from training.serving.basket_lstm.scorer import load

    events, merges, histories, items, now = pickle.loads((folder / _WORKLOAD).read_bytes())
    items.identity = object()
    scorer = load(folder / _BUNDLE, "bench")
    decoder = Decoder(load_settings({}))
    view = scorer.view(histories, items, now)
    predictions = scorer.predict(histories, items, now, 40)
    demand: Any = items.decayed_demand(now) if hasattr(items, "decayed_demand") else items.demand(now)  # earlier trees
    rules = Rules(
        version=1,
        rules=(
            Exclude(name="out", items=ItemFilter(categories=("Department 3",))),
            Boost(name="boost", factor=1.2, items=ItemFilter(categories=("Department 1",))),
            Cooldown(name="cooldown", days=1),
            Cap(name="cap", most=6),
        ),
    )
    catalogue = {code: CatalogueItem(code, code, (f"Department {int(code) % 5}",), 1.0, 9.0) for code in items.codes}
    merchandising = Merchandising(Catalogue(catalogue), CompiledRules(rules))
    context = BatchContext(now, to_iso(now), items, demand, 30, K)
    updates = [CustomerUpdate(history, 2, 1, True, None, []) for history in histories]
    model, trigger = ModelVersion("basket_lstm", "bench"), Trigger("000399", "purchases", 0, 1)

    def reference() -> None:
        for number in range(100):
            values = np.arange(100)
            found = (values > number).nonzero()[0]
            counts: dict[int, int] = {}
            for each in range(100):
                counts[each % 7] = counts.get(each % 7, 0) + len(found)

    def fresh() -> list[CustomerHistory]:
        """Other objects, as after every event: what was predicted for the same ones may still be there."""
        return [msgspec.structs.replace(history) for history in histories]

    def reasons() -> None:
        ends = view.customer_items.customer.searchsorted(np.arange(len(histories) + 1)).tolist()
        for start, end in pairwise(ends):
            bought = view.customer_item_index[start:end]
            for _ in range(4):
                explaining_items(bought[:K], bought, view.customer_items.decayed_count[start:end], scorer.statistics)

    def selection() -> None:
        selector = Selector(merchandising.at(now), items, demand)
        for prediction, history in zip(predictions, histories, strict=True):
            selector.select(prediction.candidates, history, K)

    def publish() -> None:
        for update, prediction in zip(updates, predictions, strict=True):
            recommendation = recommend(update, prediction, model, trigger, context)
            if recommendation is not None:
                recommendation_message(recommendation, "recommendations", "/bench")

    stages: dict[str, Callable[[], object]] = {
        REFERENCE: reference,
        "decode": lambda: [decoder.decode(event, now=now) for event in events],
        "merge": lambda: [add_invoice(history, invoice, 100) for history, invoice in merges],
        "inputs": lambda: scorer.view(histories, items, now),
        "network": lambda: scorer.network.logits(view),
        "return curve": lambda: scorer.return_time.curve(fresh(), now),
        "reasons": reasons,
        "selection": selection,
        "publish": publish,
    }
    request = _requests()
    gc.collect()
    gc.disable()  # a collection falls into another stage with every change of the code
    request(_START_COUNTING)  # the imports before would take most of the time
    for stage in stages.values():
        stage()
        for runs in (RUNS, RUNS // 5):
            request(_WRITE_COUNTS)
            for _ in range(runs):
                stage()
        request(_WRITE_COUNTS)
    (folder / _STAGES).write_text(json.dumps(list(stages)))


_REQUEST = bytes.fromhex("4889f8 31d2 48c1c703 48c1c70d 48c1c73d 48c1c733 4887db 4889d0 c3")
"""A function whose argument is a request to valgrind: the instructions of its header, which do nothing without it."""
_START_COUNTING, _WRITE_COUNTS = 0x43540004, 0x43540000


def _requests() -> Callable[[int], object]:
    """Returns the function that sends valgrind a request."""
    import ctypes
    import mmap

    page = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    page.write(_REQUEST)
    code = ctypes.c_char.from_buffer(page)
    call = ctypes.CFUNCTYPE(ctypes.c_ulong, ctypes.c_void_p)(ctypes.addressof(code))

    def request(number: int) -> object:
        arguments = (ctypes.c_ulong * 6)(number)
        return call(ctypes.addressof(arguments)), code  # the page is there as long as its code is referred to

    return request


def read_stored() -> dict[str, float]:
    """The stored ratios by stage."""
    stored: dict[str, float] = json.loads(STORED.read_text())["ratios"]
    return stored


def main(baseline: Path | None, *, store: bool) -> None:
    """Print a row for each stage."""
    counted = count().ratios
    if store:
        python = ".".join(map(str, sys.version_info[:2]))
        ratios = {stage: round(ratio, 4) for stage, ratio in counted.items()}
        STORED.write_text(json.dumps({"python": python, "ratios": ratios}, indent=4) + "\n")
    compared = count(baseline.resolve()).ratios if baseline else read_stored()
    print(f"{'instructions over the reference':34}{'now':>10}{'baseline' if baseline else 'stored':>10}{'ratio':>8}")
    for stage, ratio in counted.items():
        print(f"{stage:34}{ratio:10.3f}{compared[stage]:10.3f}{ratio / compared[stage]:8.3f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--baseline", type=Path, help="a folder with another checkout, to compare with")
    parser.add_argument("--store", action="store_true", help="store the ratios that the test compares with")
    parser.add_argument("--build", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--stages", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.build:
        build(arguments.build)
    elif arguments.stages:
        serve(arguments.stages)
    else:
        main(arguments.baseline, store=arguments.store)
