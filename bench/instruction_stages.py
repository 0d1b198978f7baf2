"""The stages that ``bench.instructions`` counts, each run between two marks for valgrind.

Run as a script, with the tree to be counted on ``PYTHONPATH``, and as argument the folder that
``bench.instruction_workload`` wrote. A stage that an earlier tree does not have is left out, so each imports what it
needs.
"""

import ctypes
import gc
import json
import mmap
import pickle
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import msgspec
import numpy as np

from state.domain.history import CustomerHistory, add_invoice
from state.events.dates import DAY, to_iso
from state.events.invoice import THOUSAND, Invoice, Line
from training.features.item_table import ItemTable

REFERENCE = "reference"
CATALOGUE = 4_000
"""Items of the stage that reads all of them as of now."""
K = 10
RUNS = 5
"""How often each stage runs; then a fifth as often, to show that so many more instructions would be noticed."""
STAGES = "stages.json"

_BUNDLE, _WORKLOAD = "bundle", "workload"

Stage = Callable[[], object]
Stages = dict[str, Stage]
Factories = dict[str, Callable[[], Stage]]


class Workload(NamedTuple):
    """A made-up shop: its ``log``, and the newest invoice of a few customers, as ``events`` of a line each.

    ``merges``: the customers' histories before these invoices, and the invoices · ``histories``: after them ·
    ``items``: after the log · ``now``: its last date · ``merchandising``: a document of rules, and the items of
    the catalogue by stock code · ``batches``: further invoices of these customers, whole, in batches.
    """

    log: list[Invoice]
    events: list[bytes]
    merges: list[tuple[CustomerHistory, Invoice]]
    histories: list[CustomerHistory]
    items: ItemTable
    now: int
    merchandising: tuple[Any, Any]
    batches: list[list[bytes]]


def main(folder: Path) -> None:
    """Run each stage between two marks; once before, so that what is computed once is there."""
    from training.serving.basket_lstm.scorer import load

    work = Workload(*pickle.loads((folder / _WORKLOAD).read_bytes()))
    work.items.identity = object()
    scorer = load(folder / _BUNDLE, "bench")
    stages: Stages = {REFERENCE: _reference}
    for group in (_event_stages, _store_stages, _answer_stages, _list_stages, _batch_stages, _training_stages):
        for name, make in group(work, scorer).items():
            try:
                stage = make()
                stage()
            except (ImportError, AttributeError, TypeError) as error:  # an earlier tree; the test compares the names
                print(f"{name}: {error}", file=sys.stderr)
            else:
                stages[name] = stage
    request = _requests()
    gc.collect()
    gc.disable()  # a collection falls into another stage with every change of the code
    request(_START_COUNTING)  # the imports before would take most of the time
    for stage in stages.values():
        for runs in (RUNS, RUNS // 5):
            request(_WRITE_COUNTS)
            for _ in range(runs):
                stage()
        request(_WRITE_COUNTS)
    (folder / STAGES).write_text(json.dumps(list(stages)))


def _reference() -> None:
    for number in range(100):
        values = np.arange(100)
        found = (values > number).nonzero()[0]
        counts: dict[int, int] = {}
        for each in range(100):
            counts[each % 7] = counts.get(each % 7, 0) + len(found)


def _fresh(histories: list[CustomerHistory]) -> list[CustomerHistory]:
    """Other objects, as after every event: what was predicted for the same ones may still be there."""
    return [msgspec.structs.replace(history) for history in histories]


def _records(events: list[bytes]) -> list[Any]:
    from stream.messages import Incoming

    return [Incoming(event, b"key", "invoices", 0, offset, None, ()) for offset, event in enumerate(events)]


def _event_stages(work: Workload, scorer: Any) -> Factories:
    """From the bytes of a batch to its customers."""

    def decode() -> Stage:
        from state.events.wire import Decoder
        from state.settings import load_settings

        decoder = Decoder(load_settings({}))
        return lambda: [decoder.decode(event, now=work.now) for event in work.events]

    def identify() -> Stage:
        from state.domain.identities import Identities
        from state.settings import load_settings
        from state.store.identities import MemoryIdentities
        from state.store.memory import MemoryStore
        from stream.monitoring import Metrics
        from stream.pipeline.customer_changes import CustomerChanges
        from stream.pipeline.decoded import DecodedEvent
        from stream.pipeline.retry import RetryPolicy

        settings, no_eraser = load_settings({}), Any
        changes = CustomerChanges(
            settings=settings,
            store=MemoryStore(settings),
            identities=MemoryIdentities(),
            eraser=no_eraser,  # type: ignore[arg-type]  # nobody is erased
            publish=lambda messages: None,
            read_log=Identities,
            retry=RetryPolicy(threading.Event(), Random(1)),
            metrics=Metrics(),
            clock=lambda: float(work.now),
        )
        events = [
            DecodedEvent(record, invoice)
            for record, (_, invoice) in zip(_records(work.events), work.merges, strict=False)
        ]

        def stage() -> None:
            plan = changes.begin(events, [], [], may_wait=True)
            changes.finish(plan, [])

        return stage

    return {"decode": decode, "identify": identify}


def _store_stages(work: Workload, scorer: Any) -> Factories:
    """What the worker computes of a call of Redis: Redis itself runs scripts, which are not counted here."""

    def stored_customers() -> Iterator[tuple[Any, Any]]:
        """Each customer before its newest invoice: as it is stored, and the fields of its hash."""
        from state.store.customer import CustomerRecord
        from state.store.redis.stored_customer import read_customer, write_customer

        for history, _ in work.merges:
            after, fields, _ = write_customer(read_customer("a", {}, None), CustomerRecord(history, 2, 2), sequence=0)
            yield (
                after,
                {name.encode(): each if isinstance(each, bytes) else each.encode() for name, each in fields.items()},
            )

    def read() -> Stage:
        from state.store.redis.stored_customer import read_customer

        hashes = [fields for _, fields in stored_customers()]
        return lambda: [read_customer("a", fields, None) for fields in hashes]

    def commit() -> Stage:
        from state.store.customer import apply_events
        from state.store.redis.commit import make_commit
        from state.store.redis.layout import pack

        before = [stored for stored, _ in stored_customers()]

        def stage() -> None:
            commits = []
            for stored, (_, invoice) in zip(before, work.merges, strict=True):
                applied = apply_events(stored.with_last(), [(0, invoice)], window=100, cap=100_000, clock_ms=3)
                commits.append(make_commit(str(invoice.customer_id), stored, applied, 3, by_outbox=False))
            pack([each.packed for each in commits])

        return stage

    def item_states() -> Stage:
        from state.store.redis.layout import pack, read_item, write_item

        codes = {line.stock_code for _, invoice in work.merges for line in invoice.lines}
        states = _states(work)
        packed = [(code, pack(write_item(states[code]))) for code in sorted(codes & states.keys())]
        copy = ItemTable(states.values())
        return lambda: copy.update([read_item(code, each) for code, each in packed])

    return {
        "merge": lambda: lambda: [add_invoice(history, invoice, 100) for history, invoice in work.merges],
        "read customers": read,
        "commit": commit,
        "item states": item_states,
    }


def _states(work: Workload) -> dict[str, Any]:
    """The state of each item, as the store has it."""
    return {state.stock_code: state for state in _store(work).items().states.values()}


def _store(work: Workload) -> Any:
    from state.settings import load_settings
    from state.store.memory import MemoryStore

    store = MemoryStore(load_settings({}))
    store.apply(work.log, clock_ms=1)
    return store


def _answer_stages(work: Workload, scorer: Any) -> Factories:
    """The model's answer."""
    from training.serving.basket_lstm.calibration import rank

    histories, items, now = work.histories, work.items, work.now
    view = scorer.view(histories, items, now)
    logits = scorer.network.logits(view)

    def all_items() -> Stage:
        from training.features.item_inputs import ItemSnapshot

        table = ItemTable()
        lines = [Line(f"{code:05d}", THOUSAND, 1.0 + code / 40) for code in range(CATALOGUE)]
        for number in range(200):
            table.sell(lines[number::200], now - number * DAY)
        return lambda: ItemSnapshot.at(table, now, 0)

    def large_catalogue() -> Stage:
        from training.features.basket_lstm.customer_items import customer_items
        from training.features.basket_lstm.flat_histories import flatten
        from training.features.basket_lstm.large_catalogue import gather_from_large_catalogue

        flat = flatten(histories, items)
        bought = customer_items(flat, now, len(items) + len(flat.unknown))
        return lambda: gather_from_large_catalogue(flat, bought, scorer.statistics, items, now, scorer.retrieval)

    def reasons() -> Stage:
        from training.features.basket_lstm.candidates import explaining_items

        ends = view.customer_items.customer.searchsorted(np.arange(len(histories) + 1)).tolist()

        def stage() -> None:
            for start, end in pairwise(ends):
                bought = view.customer_item_index[start:end]
                for _ in range(4):
                    counts = view.customer_items.decayed_count[start:end]
                    explaining_items(bought[:K], bought, counts, scorer.statistics)

        return stage

    def calibration() -> Stage:
        ranked = [each.first(K) for each in rank(view, logits)]
        return lambda: [
            scorer.calibration.probabilities(each, view.customer_inputs[customer])
            for customer, each in enumerate(ranked)
        ]

    return {
        "all items": all_items,
        "inputs": lambda: lambda: scorer.view(histories, items, now),
        "inputs of a large catalogue": large_catalogue,
        "network": lambda: lambda: scorer.network.logits(view),
        "return curve": lambda: lambda: scorer.return_time.curve(_fresh(histories), now),
        "ranking": lambda: lambda: rank(view, logits),
        "calibration": calibration,
        "reasons": reasons,
        "answer": lambda: lambda: scorer.predict(_fresh(histories), items, now, K),
    }


def _list_stages(work: Workload, scorer: Any) -> Factories:
    """From the ranking to the messages, and what is stored of them."""
    from state.domain.recommendation import ModelVersion, Trigger
    from state.store.protocol import CustomerUpdate, PriorRecommendation
    from stream.pipeline.recommendations import BatchContext, recommend

    histories, items, now = work.histories, work.items, work.now
    demand: Any = items.decayed_demand(now) if hasattr(items, "decayed_demand") else items.demand(now)  # earlier trees
    predictions = scorer.predict(histories, items, now, 40)
    context = BatchContext(now, to_iso(now), items, demand, 30, K)
    codes = [candidate.stock_code for candidate in predictions[0].candidates[:K]]
    priors = [PriorRecommendation(invoice.invoice_no, "r", "basket_lstm/bench", codes) for _, invoice in work.merges]
    updates = [
        CustomerUpdate(history, 2, 1, True, None, [prior]) for history, prior in zip(histories, priors, strict=True)
    ]
    model, trigger = ModelVersion("basket_lstm", "bench"), Trigger("000399", "purchases", 0, 1)

    def recommendations() -> list[Any]:
        return [
            recommend(update, prediction, model, trigger, context)
            for update, prediction in zip(updates, predictions, strict=True)
        ]

    def selection() -> Stage:
        from state.domain.catalogue import Catalogue
        from state.domain.rules import CompiledRules, Merchandising
        from stream.pipeline.selector import Selector

        rules, catalogue = work.merchandising
        merchandising = Merchandising(Catalogue(catalogue), CompiledRules(rules))

        def stage() -> None:
            selector = Selector(merchandising.at(now), items, demand)
            for prediction, history in zip(predictions, histories, strict=True):
                selector.select(prediction.candidates, history, K)

        return stage

    def publish() -> Stage:
        from stream.pipeline.recommender import recommendation_message

        return lambda: [
            recommendation_message(one, "recommendations", "/bench") for one in recommendations() if one is not None
        ]

    def score() -> Stage:
        from stream.pipeline.scores import scores

        return lambda: [scores(update, scored_at="2011-12-09T12:50:00Z") for update in updates]

    def due() -> Stage:
        from stream.pipeline.due_index import due_entries

        survival = scorer.return_time.log_survival(histories)
        listed = [one.items for one in recommendations()]
        return lambda: due_entries(histories, [2] * len(histories), listed, survival, "bench")

    def confirm() -> Stage:
        from state.store.redis.layout import pack, write_recommendation

        made = recommendations()
        return lambda: pack((0, [(one.revision, write_recommendation(one).decode()) for one in made]))

    return {"selection": selection, "publish": publish, "scores": score, "due entries": due, "confirm": confirm}


class _Remembered:
    """A scorer that only looks up what the model predicts: the stages below are about what is around it."""

    name, version = "basket_lstm", "bench"

    def __init__(self, work: Workload, scorer: Any) -> None:
        made = scorer.predict(work.histories, work.items, work.now, 40)
        self._made = {history.customer_id: one for history, one in zip(work.histories, made, strict=True)}

    def predict(self, histories: Sequence[CustomerHistory], items: ItemTable, now: int, k: int) -> list[Any]:
        """The predictions for these customers, cut to a length."""
        made = [self._made[history.customer_id] for history in histories]
        return [type(one)(one.candidates[:k], one.return_curve) for one in made]


def _batch_stages(work: Workload, scorer: Any) -> Factories:
    """A whole batch of the worker, and a batch of questions to the API, but for the model."""
    remembered = _Remembered(work, scorer)

    def batch() -> Stage:
        from state.settings import load_settings
        from stream.monitoring import Metrics
        from stream.pipeline.memory_publisher import MemoryPublisher
        from stream.pipeline.processor import Processor
        from stream.pipeline.retry import RetryPolicy
        from training.serving.load import fallback_scorer

        processor = Processor(
            settings=load_settings({}),
            store=_store(work),
            publisher=MemoryPublisher(),
            scorer=lambda: remembered,
            fallback=fallback_scorer(),
            retry=RetryPolicy(threading.Event(), Random(1)),
            metrics=Metrics(),
            clock=lambda: work.now + DAY,
        )
        batches = iter([_records(events) for events in work.batches])
        return lambda: processor.process(next(batches))

    def visits() -> Stage:
        from state.settings import load_settings
        from stream.api.ranking import Ranker
        from stream.api.visits import VisitQuery
        from stream.monitoring import Metrics
        from training.serving.load import fallback_scorer

        store = _store(work)
        ranker = Ranker(
            settings=load_settings({}),
            open_store=lambda: store,
            scorer=lambda: remembered,
            fallback=fallback_scorer(),
            metrics=Metrics(),
            clock=lambda: float(work.now),
        )
        queries = [VisitQuery(history.customer_id) for history in work.histories]
        return lambda: [msgspec.json.encode(each.recommendation) for each in ranker.answer(queries)]

    return {"batch": batch, "visits": visits}


def _training_stages(work: Workload, scorer: Any) -> Factories:
    """What a training walks over; the fits need libraries that take minutes to load under valgrind."""

    def walked() -> Stage:
        from training.data.walk import walk

        log = work.log[:56]
        return lambda: [
            point.history for point in walk(log, moment="both", start=log[48].date, end=work.now, window=100)
        ]

    return {"walk": walked}


_REQUEST = bytes.fromhex("4889f8 31d2 48c1c703 48c1c70d 48c1c73d 48c1c733 4887db 4889d0 c3")
"""A function whose argument is a request to valgrind: the instructions of its header, which do nothing without it."""
_START_COUNTING, _WRITE_COUNTS = 0x43540004, 0x43540000


def _requests() -> Callable[[int], object]:
    """Returns the function that sends valgrind a request."""
    page = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    page.write(_REQUEST)
    code = ctypes.c_char.from_buffer(page)
    call = ctypes.CFUNCTYPE(ctypes.c_ulong, ctypes.c_void_p)(ctypes.addressof(code))

    def request(number: int) -> object:
        arguments = (ctypes.c_ulong * 6)(number)
        return call(ctypes.addressof(arguments)), code  # the page is there as long as its code is referred to

    return request


if __name__ == "__main__":
    main(Path(sys.argv[1]))
