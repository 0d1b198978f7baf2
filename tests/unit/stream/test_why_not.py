"""Why an item is not in the list for a visit, in the words of ``nextbasket show --why-not``."""

import pytest

from state.domain.catalogue import Catalogue
from state.domain.rules import Cause, CompiledRules, Merchandising
from state.domain.selection import Absence
from state.events.catalogue import CatalogueItem
from state.events.dates import DAY
from state.events.rules import Cooldown, Exclude, ItemFilter, Rules
from stream.tools.customer_report import CustomerReport, WhyNot, build_customer_report
from stream.tools.explanations import explain
from tests.unit.stream.harness import CountingScorer, ProcessorHarness, invoice

DATE = "2011-12-01T10:00:00Z"
AT = 1_322_733_600  # DATE


def report(
    merchandising: Merchandising | None, stock_code: str, top_k: str = "2", clock: int | None = None
) -> CustomerReport:
    """The report on a customer who bought TEA; ben bought more."""
    harness = ProcessorHarness(top_k=top_k)
    harness.process(invoice("1", "ben", DATE, "TEA", "CUP", "MAT", "LAMP"), invoice("2", "anna", DATE, "TEA"))
    found = build_customer_report(
        "anna",
        harness.store,
        CountingScorer(),
        harness.settings,
        merchandising=merchandising,
        why_not=stock_code,
        clock=clock,
    )
    assert found is not None
    return found


def sentence(merchandising: Merchandising | None, stock_code: str) -> str:
    why_not = report(merchandising, stock_code).why_not
    assert why_not is not None
    return explain(why_not)


def test_without_catalogue_and_rules() -> None:
    assert sentence(None, "TEA").startswith("TEA is recommended, at position 1 with a probability of ")
    assert sentence(None, "MAT").endswith("and the list has 2 items.")
    assert sentence(None, "MAT").startswith("MAT is allowed; the model ranks it 4 with a probability of ")
    assert sentence(None, "GONE") == "GONE is unknown here: it was never sold and is not in the catalogue."


def test_with_them() -> None:
    catalogue = Catalogue({"NEW": CatalogueItem("NEW"), "CUP": CatalogueItem("CUP", stock=0.0)})
    rules = Cooldown(name="not twice", days=7), Exclude(name="no tea", items=ItemFilter(stock_codes=("TEA",)))
    snapshot = Merchandising(catalogue, CompiledRules(Rules(version=1, rules=rules)))
    assert sentence(snapshot, "TEA") == (
        "TEA is not recommended because of the rule no tea (exclude) and the rule not twice (cooldown); "
        "the model ranks it 1."
    )
    assert sentence(snapshot, "CUP").startswith("CUP is not recommended because of the catalogue (out of stock)")
    assert "NEW is allowed, but it is no candidate of the model" in sentence(snapshot, "NEW")
    assert sentence(snapshot, "NEW").endswith("It was never sold.")
    visit = report(snapshot, "TEA").visit
    assert visit is not None
    assert [item.stock_code for item in visit.items] == ["LAMP", "MAT"]
    assert visit.rules is not None
    assert {action.rule for action in visit.rules.acted} == {"no tea", "out_of_stock"}


def test_the_clock_ends_a_cooldown() -> None:
    rules = CompiledRules(Rules(rules=(Cooldown(name="not twice", days=7),)))
    early, late = (report(Merchandising(None, rules), "TEA", clock=AT + days * DAY).why_not for days in (6, 8))
    assert early is not None
    assert late is not None
    assert (early.absence.verdict, late.absence.verdict) == ("forbidden", "listed")


@pytest.mark.parametrize(
    ("verdict", "words"),
    [
        ("capped", "because of the rule r (cap): the list has enough of its group; the model ranks it 3."),
        ("made_room", "X made room for other items because of the rule r (cap); the model ranks it 3"),
    ],
)
def test_other_verdicts(verdict: str, words: str) -> None:
    absence = Absence(verdict, 3, 0.5, (Cause("cap", "r"),))  # type: ignore[arg-type]  # one of the literals
    assert words in explain(WhyNot("X", absence, 10, sold=True, in_catalogue=True))
