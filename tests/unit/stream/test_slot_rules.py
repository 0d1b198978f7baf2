"""Rules about what a customer bought before, where the first candidates are all bought: worker, visit and show."""

from collections.abc import Sequence
from typing import Any

import pytest

from state.domain.history import CustomerHistory
from state.domain.rules import CompiledRules, Merchandising
from state.events.rules import CustomerFilter, Exclude, ItemFilter, Only, Promote, Rule, Rules
from stream.api.ranking import Ranker
from stream.api.visits import VisitQuery
from stream.tools.customer_report import build_customer_report
from tests.unit.stream.harness import CLOCK, CountingScorer, ProcessorHarness, invoice
from training.features.item_table import ItemTable
from training.serving.scorer import Prediction

BOUGHT = [f"B{number:03}" for number in range(130)]
"""What anna bought: more than a ranking of usual depth holds."""
NEW = [f"N{number:03}" for number in range(40)]
DATE = "2011-12-01T10:00:00Z"
HALF_NEW = Promote(name="half new", share=0.5, slot="discover")


class CandidateScorer(CountingScorer):
    """Ranks what a customer bought, then 30 new items against their demand; nothing else is a candidate."""

    name = "candidates"

    def predict(self, histories: Sequence[CustomerHistory], items: ItemTable, now: int, k: int) -> list[Prediction]:
        return [
            Prediction(each.candidates, each.return_curve) for each in self.predict_further(histories, items, now, k)
        ]

    def predict_further(
        self, histories: Sequence[CustomerHistory], items: ItemTable, now: int, k: int
    ) -> list[Prediction]:
        self.calls.append([history.customer_id for history in histories])
        made = []
        for history in histories:
            one = self._predict_one(history, items, now, 1_000)
            bought = {line.stock_code for each in history.invoices for line in each.lines}
            known = [each for each in one.candidates if each.stock_code in bought]
            new = [each for each in one.candidates if each.stock_code not in bought]
            ranked = [*known, *reversed(new)][: len(known) + 30]
            made.append(Prediction(ranked[:k], one.return_curve, ranked[k:]))
        return made


def shop(*rules: Rule, scorer: CountingScorer | None = None) -> ProcessorHarness:
    """Everybody has bought; anna and ben buy once more under the rules. The first of ``NEW`` are most in demand."""
    harness = ProcessorHarness(scorer=scorer or CandidateScorer(), top_k="10")
    demand = [invoice(f"d{n}", f"c{n}", DATE, *NEW[: 40 - n]) for n in range(0, 40, 4)]
    harness.process(*demand, invoice("1", "anna", DATE, *BOUGHT), invoice("2", "ben", DATE, *BOUGHT[:3]))
    if rules:
        harness.merchandising = Merchandising(rules=CompiledRules(Rules(version=7, rules=rules)))
    later = "2011-12-02T10:00:00Z"
    harness.process(invoice("3", "anna", later, *BOUGHT[:8]), invoice("4", "ben", later, BOUGHT[0]))
    return harness


def listed(harness: ProcessorHarness, customer_id: str) -> list[str]:
    mine = [each for each in harness.recommendations() if each["customer_id"] == customer_id]
    return [item["stock_code"] for item in mine[-1]["items"]]


def visited(harness: ProcessorHarness, *customer_ids: str) -> list[Any]:
    """The lists of visits that are asked for in one batch."""
    ranker = Ranker(
        settings=harness.settings,
        open_store=lambda: harness.store,
        scorer=lambda: harness.scorer,
        fallback=CountingScorer("fallback"),
        metrics=harness.metrics,
        merchandising=lambda: harness.merchandising,
        clock=lambda: CLOCK,
    )
    answers = ranker.answer([VisitQuery(customer, limit=10) for customer in customer_ids])
    return [answer.recommendation for answer in answers]


def test_reserved_positions_have_the_models_best_new_items_and_not_those_in_demand() -> None:
    assert [code for code in listed(shop(), "anna") if code in NEW] == []
    harness = shop(HALF_NEW)
    found = listed(harness, "anna")
    assert found == [*BOUGHT[:5], "N039", "N038", "N037", "N036", "N035"]
    recommendation = harness.recommendations()[-2]
    assert recommendation["rules"]["acted"] == [
        {"rule": "half new", "kind": "promote", "stock_codes": ["N039", "N038", "N037", "N036", "N035"]}
    ]
    chances = {item["stock_code"]: item["probability"] for item in recommendation["items"]}
    (history,) = [each for each in harness.store.histories() if each.customer_id == "anna"]
    (whole,) = CandidateScorer().predict(
        [history], ItemTable(harness.store.items().states.values()), harness.store.now() or 0, 1_000
    )
    assert chances == {
        each.stock_code: round(each.probability, 6) for each in whole.candidates if each.stock_code in chances
    }


def test_a_rule_that_is_set_during_the_prediction_reads_all_candidates_too(monkeypatch: pytest.MonkeyPatch) -> None:
    harness = shop()
    predict = harness.scorer.predict

    def slow(*arguments: Any) -> list[Prediction]:
        harness.merchandising = Merchandising(rules=CompiledRules(Rules(version=8, rules=(HALF_NEW,))))
        return predict(*arguments)

    monkeypatch.setattr(harness.scorer, "predict", slow)
    harness.process(invoice("5", "anna", "2011-12-03T10:00:00Z", *BOUGHT[:8]))
    assert listed(harness, "anna")[5:] == ["N039", "N038", "N037", "N036", "N035"]


def test_a_list_of_new_items_only_has_those_of_the_model() -> None:
    harness = shop(Only(name="new", slot="discover"))
    assert listed(harness, "anna") == NEW[:-11:-1]


def test_worker_visit_and_show_give_the_same_list_alone_and_in_a_batch() -> None:
    for scorer in (CandidateScorer(), CountingScorer()):  # one that ranks candidates, one that ranks all items
        harness = shop(HALF_NEW, scorer=scorer)
        both = [[item.stock_code for item in each.items] for each in visited(harness, "anna", "ben")]
        alone = [[item.stock_code for item in visited(harness, each)[0].items] for each in ("anna", "ben")]
        assert both == alone == [listed(harness, "anna"), listed(harness, "ben")]
        report = build_customer_report(
            "anna", harness.store, scorer, harness.settings, merchandising=harness.merchandising, why_not="B005"
        )
        assert report is not None
        assert report.visit is not None
        assert report.why_not is not None
        assert [item.stock_code for item in report.visit.items] == both[0]
        assert (report.why_not.absence.verdict, report.why_not.absence.rank) == ("made_room", 6)
        assert sum(code in NEW for code in both[0]) == 5


def test_a_customer_outside_the_segment_has_the_list_that_there_is_without_the_rule() -> None:
    few = Exclude(name="few are left", items=ItemFilter(stock_codes=tuple(BOUGHT[:95])))
    of_ben = Promote(name="half new", share=0.5, slot="discover", customers=CustomerFilter(customer_ids=("ben",)))
    without, with_rule = shop(few), shop(few, of_ben)
    assert listed(with_rule, "anna") == listed(without, "anna") == [*BOUGHT[95:100], *NEW[:5]]  # filled by demand
    assert visited(with_rule, "anna", "ben")[0].items == visited(without, "anna", "ben")[0].items
