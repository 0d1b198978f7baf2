"""A small comparison for tests: two invoices, a model that ranks well, one that does not, a variant of the first."""

from training.data.walk import Moment
from training.evaluation.cases import EvaluationCase
from training.evaluation.compare import Comparison, MomentResult
from training.evaluation.model_metrics import model_metrics
from training.evaluation.prequential import EvaluationRun, Ranking, Task
from training.evaluation.split import parse_span
from training.evaluation.variants import Variant
from training.models.base import Curves

CASES = [
    EvaluationCase("1", "ann", frozenset("ab"), frozenset("a"), frozenset("b"), frozenset(), frozenset("a"), 1),
    EvaluationCase("2", "bob", frozenset("c"), frozenset("c"), frozenset(), frozenset(), frozenset(), 7),
]

GOOD, BAD = Variant("good"), Variant("bad")
LESS = Variant("good", (("without", "b"),))


def ranking(codes: str) -> Ranking:
    return Ranking(list(codes), [0.5 / (rank + 1) for rank in range(len(codes))])


def comparison(task: Task = "next-basket", moments: tuple[Moment, ...] = ("visit",)) -> Comparison:
    rankings = {
        str(GOOD): [ranking("axb"), ranking("cab")],
        str(BAD): [ranking("xya"), ranking("xyz")],
        str(LESS): [ranking("axy"), ranking("cab")],
    }
    moment_results = {}
    for when in moments:
        run = EvaluationRun(when, task, CASES, rankings, 10)
        moment_results[when] = MomentResult(CASES, {name: model_metrics(run, name) for name in rankings}, run)
    losses: Curves = {"training": [3.0, 2.0, 1.5], "validation": [3.1, 2.6, 2.7]}
    curves = {str(GOOD): {7: losses}}
    variants = {str(variant): variant for variant in (GOOD, BAD, LESS)}
    return Comparison(parse_span("2011-11-09", "2011-12-10"), task, (7,), variants, moment_results, curves)
