"""Rounds of training: what is evaluated, published and promoted, and what is refused."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from state.events.dates import DAY
from state.events.invoice import Invoice
from state.settings import load_settings
from tests.unit.evaluation.purchases import START, invoice
from training.data.cleaning.clean import clean
from training.data.cleaning.invoices import invoices
from training.data.simulator import simulate
from training.data.tables.invoice_table import from_frame
from training.data.walk import Moment
from training.errors import TooLittleData, UnknownModel
from training.evaluation.cases import evaluation_cases
from training.evaluation.split import Span
from training.registry import Decision, Registry, verify
from training.registry.bundle import EVALUATED
from training.serving.load import load_scorer
from training.trainer import CHAMPION, TrainingPlan, decide_for_both_moments, evaluation_span, train

CLOCK = datetime(2026, 1, 1, tzinfo=UTC)
BEST = TrainingPlan(model="ease_count_demand", baselines=("g_topfreq", "p_topfreq"))
"""A candidate that beats the baselines on simulated data."""
WORST = TrainingPlan(model="g_topfreq", baselines=("count_demand", "p_topfreq"))


@pytest.fixture(scope="module")
def log() -> list[Invoice]:
    table = from_frame(simulate(customers=120, items=150, days=240, seed=3))
    return invoices(clean(table, load_settings({})))


def end(log: Sequence[Invoice]) -> int:
    return log[-1].date + 1


def test_the_first_candidate_that_beats_the_baselines_serves(log: list[Invoice], tmp_path: Path) -> None:
    registry = Registry(str(tmp_path))
    result = train(log, registry, load_scorer, BEST, until=end(log), clock=CLOCK)
    assert result.promoted == result.version == registry.current()
    assert result.evaluation_span == Span(end(log) - 28 * DAY, end(log))
    assert set(result.metrics) == {"ease_count_demand", "g_topfreq", "p_topfreq"}
    manifest = registry.manifest(result.version)
    assert manifest.metrics == result.metrics
    assert manifest.data.until == datetime.fromtimestamp(end(log), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    scorer = load_scorer(registry.open(result.version))
    assert (scorer.name, scorer.version) == ("ease_count_demand", result.version)
    # The bundle also holds the model as it was evaluated, fitted without those weeks.
    evaluated = verify(registry.open(result.version) / EVALUATED)
    assert evaluated.data.until < manifest.data.until
    assert evaluated.files != {path: manifest.files[path] for path in evaluated.files}


def test_both_moments_are_in_the_metrics(log: list[Invoice], tmp_path: Path) -> None:
    result = train(log, Registry(str(tmp_path)), load_scorer, BEST, until=end(log), clock=CLOCK)
    metrics = result.metrics["ease_count_demand"]
    assert metrics["ndcg@10"] != metrics["emission ndcg@10"]
    assert "At the visit:" in result.decision.reason
    assert "At the emission:" in result.decision.reason


def test_of_many_invoices_evenly_spaced_ones_are_evaluated(
    log: list[Invoice], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    all_of_them = len(evaluation_cases(log, evaluation_span(log, end(log), BEST.evaluation_days)).by_position)
    monkeypatch.setattr("training.trainer.MAX_CASES", 20)
    result = train(log, Registry(str(tmp_path)), load_scorer, BEST, until=end(log), clock=CLOCK)
    assert 20 < all_of_them <= 40
    assert result.n_cases == -(-all_of_them // 2)


def test_the_same_seed_and_data_give_the_same_metrics(log: list[Invoice], tmp_path: Path) -> None:
    one = train(log, Registry(str(tmp_path / "one")), load_scorer, BEST, until=end(log), clock=CLOCK)
    two = train(log, Registry(str(tmp_path / "two")), load_scorer, BEST, until=end(log), clock=CLOCK)
    assert one.metrics == two.metrics


def test_without_a_champion_the_best_baseline_is_promoted_where_the_candidate_fails(
    log: list[Invoice], tmp_path: Path
) -> None:
    registry = Registry(str(tmp_path))
    result = train(log, registry, load_scorer, WORST, until=end(log), clock=CLOCK)
    assert result.decision.fallback in ("count_demand", "p_topfreq")
    assert registry.current() == result.promoted != result.version
    assert {manifest.name for manifest in registry.versions()} == {"g_topfreq", result.decision.fallback}
    assert load_scorer(registry.open(str(result.promoted))).name == result.decision.fallback


def test_a_worse_candidate_is_published_and_does_not_serve(log: list[Invoice], tmp_path: Path) -> None:
    registry = Registry(str(tmp_path))
    champion = train(log, registry, load_scorer, BEST, until=end(log) - 7 * DAY, clock=CLOCK).version
    result = train(log, registry, load_scorer, WORST, until=end(log), clock=CLOCK)
    assert result.promoted is None
    assert registry.current() == champion
    assert CHAMPION in result.metrics
    assert result.version in {manifest.version for manifest in registry.versions()}


def test_the_champion_is_evaluated_on_weeks_it_was_not_fitted_on(log: list[Invoice], tmp_path: Path) -> None:
    """Trained twice on one log, champion and candidate are the same model, so they must reach the same."""
    registry = Registry(str(tmp_path))
    train(log, registry, load_scorer, BEST, until=end(log), clock=CLOCK)
    result = train(log, registry, load_scorer, BEST, until=end(log), clock=CLOCK)
    assert result.metrics[CHAMPION] == pytest.approx(result.metrics["ease_count_demand"])
    assert result.notes == []
    assert result.promoted == result.version
    assert result.version.endswith("-2")


def test_a_champion_fitted_on_the_span_is_noted(log: list[Invoice], tmp_path: Path) -> None:
    registry = Registry(str(tmp_path))
    train(log, registry, load_scorer, BEST, until=end(log), clock=CLOCK)
    result = train(log, registry, load_scorer, BEST, until=end(log) - 60 * DAY, clock=CLOCK)
    assert len(result.notes) == 1
    assert "its metrics are too good" in result.notes[0]


def test_a_damaged_champion_is_not_compared(log: list[Invoice], tmp_path: Path) -> None:
    registry = Registry(str(tmp_path))
    champion = train(log, registry, load_scorer, BEST, until=end(log), clock=CLOCK).version
    (tmp_path / "versions" / champion / "baseline.json").write_bytes(b"{}")
    result = train(log, registry, load_scorer, BEST, until=end(log), clock=CLOCK)
    assert "cannot be evaluated" in result.notes[0]
    assert CHAMPION not in result.metrics
    assert registry.current() == result.version


def test_without_a_refit_the_evaluated_model_serves(log: list[Invoice], tmp_path: Path) -> None:
    registry = Registry(str(tmp_path))
    plan = TrainingPlan(model=BEST.model, baselines=BEST.baselines, refit=False)
    result = train(log, registry, load_scorer, plan, until=end(log), clock=CLOCK)
    folder = registry.open(result.version)
    assert not (folder / EVALUATED).exists()
    assert registry.manifest(result.version).data.until < f"{datetime.fromtimestamp(end(log), UTC):%Y-%m-%dT%H:%M:%SZ}"


def test_invoices_after_the_end_change_nothing(log: list[Invoice], tmp_path: Path) -> None:
    until = end(log) - 60 * DAY
    whole = train(log, Registry(str(tmp_path / "one")), load_scorer, BEST, until=until, clock=CLOCK)
    before = [invoice for invoice in log if invoice.date < until]
    cut = train(before, Registry(str(tmp_path / "two")), load_scorer, BEST, until=until, clock=CLOCK)
    assert whole.metrics == cut.metrics


def crowd(n: int, purchases: int, days: float = 200) -> list[Invoice]:
    step = days / max(n * purchases, 1)
    numbered = enumerate(f"c{number % n}" for number in range(n * purchases))
    return [invoice(f"{number:04d}", customer, number * step, "a", "b") for number, customer in numbered]


@pytest.mark.parametrize(
    ("log", "sentence"),
    [
        ([], "Nothing was bought before"),
        ([invoice("1", "ann", 0, "a", back=True)], "Nothing was bought before"),
        (crowd(1, 30), "All 30 purchases are of one customer"),
        (crowd(30, 1), "None of the 30 customers bought twice"),
        (crowd(4, 5), "at least 10 are needed"),
    ],
)
def test_too_little_data_is_refused_with_a_sentence(log: list[Invoice], sentence: str, tmp_path: Path) -> None:
    registry = Registry(str(tmp_path / "registry"))
    with pytest.raises(TooLittleData, match=sentence):
        train(log, registry, load_scorer, BEST, until=START + 300 * DAY, clock=CLOCK)
    assert not (tmp_path / "registry").exists()


def test_at_most_a_quarter_of_the_data_is_evaluated() -> None:
    log = crowd(20, 6, days=40)
    span = evaluation_span(log, log[-1].date + 1, 28)
    assert (span.end - span.start) == (log[-1].date + 1 - log[0].date) // 4
    assert len(evaluation_cases(log, span).by_position) == 30


def test_there_is_no_such_model(log: list[Invoice], tmp_path: Path) -> None:
    with pytest.raises(UnknownModel):
        train(
            log, Registry(str(tmp_path)), load_scorer, TrainingPlan(model="crystal_ball"), until=end(log), clock=CLOCK
        )


@pytest.mark.parametrize(
    ("visit", "emission", "champion", "expected"),
    [
        (0.3, 0.3, 0.3, (True, None)),
        (0.3, 0.1, None, (False, "base")),
        (0.1, 0.3, None, (False, "base")),
        (0.3, 0.1, 0.05, (False, None)),
        (0.3, 0.29, 0.295, (False, None)),
    ],
)
def test_both_moments_must_agree(
    visit: float, emission: float, champion: float | None, expected: tuple[bool, str | None]
) -> None:
    def metrics(value: float) -> Mapping[str, dict[str, float]]:
        both = {"new": {"ndcg@10": value}, "base": {"ndcg@10": 0.2}}
        return both | ({} if champion is None else {CHAMPION: {"ndcg@10": champion}})

    verdict = decide_for_both_moments(
        "new", {"visit": dict(metrics(visit)), "emission": dict(metrics(emission))}, ["base"]
    )
    assert isinstance(verdict, Decision)
    assert (verdict.promote, verdict.fallback) == expected


def test_the_fallback_is_that_of_the_first_moment_at_which_the_candidate_fails() -> None:
    def metrics(new: float, one: float, other: float) -> dict[str, dict[str, float]]:
        return {name: {"ndcg@10": value} for name, value in {"new": new, "one": one, "other": other}.items()}

    by_moment: dict[Moment, dict[str, dict[str, float]]] = {
        "visit": metrics(0.1, 0.3, 0.2),
        "emission": metrics(0.1, 0.2, 0.3),
    }
    assert decide_for_both_moments("new", by_moment, ["one", "other"]).fallback == "one"
    by_moment["visit"] = metrics(0.4, 0.3, 0.2)
    assert decide_for_both_moments("new", by_moment, ["one", "other"]).fallback == "other"
