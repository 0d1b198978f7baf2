"""A comparison as an HTML report: what ``report.as_dict`` returns, as charts with a sentence each, and as tables."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure as Drawing

from training.evaluation import charts, tables
from training.evaluation.charts import MeanInterval, Panel
from training.evaluation.tables import ABLATED, GAINS, format_difference, format_metric
from training.registry.gate import GATE_METRIC
from training.report import HALF, Figure, Page, Section, Table, draw

QUALITY = {
    "next-basket": ("recall@10", "ndcg@10", "hit@1", "recall@20"),
    "discover": ("recall@20", "ndcg@10", "hit@10", "ndcg@20"),
}
KINDS = {
    "next-basket": ("recall@20_repeat", "recall@20_new", "recall@20_cold", "recall@20_rare"),
    "discover": ("recall@20_cold", "recall@20_rare"),
}
"""By task, the metrics that are drawn side by side."""

WIDTH = 10.0

_RANKED = {
    "next-basket": "the whole catalogue for an invoice of a customer who had bought before",
    "discover": "what the customer had never bought for an invoice that holds such an item",
}

_MOMENTS = {
    "visit": "just before the invoice, as a storefront asks",
    "emission": "right after the customer's previous invoice, as the topic carries it",
}


def page(report: Mapping[str, Any], *, footer: str = "") -> Page:
    """The page of a comparison.

    Args:
        report: What ``report.as_dict`` returned.
        footer: The command that makes it again.
    """
    moments = report["moments"]
    names = _by_rank(next(iter(moments.values())))
    asked = " and ".join(f"at the {each} ({_MOMENTS[each]})" for each in moments)
    seeds = len(report["seeds"])
    return Page(
        title=f"Models compared, {report['from']} to {report['to']}",
        lead=(
            f"Every model was fitted on the invoices before {report['from']}. Then, {asked}, it ranked "
            f"{_RANKED[report['task']]}, for all such invoices before {report['to']}. Lines are 95 % intervals from "
            "2,000 resamples of the customers, each with all their invoices."
        ),
        sections=[
            _quality(report, names),
            *_gains(report),
            _lengths(report, names),
            _kinds(report, names),
            _calibration(report, names),
            *_ablations(report),
            *_learning(report),
        ],
        facts=[
            ("invoices", f"{report['invoices']:,}"),
            ("customers", f"{report['customers']:,}"),
            ("models", f"{len(names)}"),
            ("seed" if seeds == 1 else "seeds", ", ".join(map(str, report["seeds"]))),
        ],
        footer=footer,
        warning=report["warning"] or "",
    )


def _quality(report: Mapping[str, Any], names: Sequence[str]) -> Section:
    moments = report["moments"]
    panels = [
        Panel(metric, {moment: _means(result["models"], metric) for moment, result in moments.items()})
        for metric in QUALITY[report["task"]]
    ]
    best = [
        f"at the {moment} {result['best']} has the highest {GATE_METRIC}, "
        f"{_format_interval(charts.of_mean(result['models'][result['best']], GATE_METRIC))}"
        for moment, result in moments.items()
    ]
    figure = _intervals("metrics", "How good each model is", names, panels, f"{_sentence('; '.join(best))}.")
    return Section(
        "How good they are",
        "hit@k: any of the first k items was bought; recall@k: the share of the basket among them; ndcg@k: the same, "
        "where the first ranks count more.",
        [figure, *(_table(tables.means(report, moment)) for moment in moments)],
    )


def _gains(report: Mapping[str, Any]) -> list[Section]:
    blocks: list[Figure | Table] = []
    for moment, result in report["moments"].items():
        gains, best = result["gains"], result["best"]
        if not gains:
            continue
        names = [name for name in _by_rank(result) if name != best]
        panels = [
            Panel(metric, {moment: {name: charts.of_difference(gains[metric][name]) for name in names}})
            for metric in GAINS
        ]
        uncertain = [name for name in names if not (gains[GATE_METRIC][name]["low"] or 0.0) > 0.0]
        whose = f"all models but {', '.join(uncertain)}" if uncertain else "every other model"
        excludes = f"the interval excludes zero over {whose}"
        if len(uncertain) == len(names):
            excludes = "the interval includes zero over every other model"
        sentence = f"At the {moment} {best} leads by {GATE_METRIC}; {excludes}."
        title = f"How far {best} is ahead at the {moment}"
        blocks += [
            _intervals(f"gains-{moment}", title, names, panels, sentence, differences=True),
            _table(tables.gains(report, moment)),
        ]
    if not blocks:
        return []
    text = (
        "A difference is taken invoice by invoice, so that both models have the same customers. Right of zero the best "
        "model is ahead; a hollow mark: the interval includes zero. Beyond ±.02 the scale is logarithmic."
    )
    return [Section("Which model is ahead, and by how much", text, blocks)]


def _lengths(report: Mapping[str, Any], names: Sequence[str]) -> Section:
    moments = report["moments"]
    sizes = next(iter(next(iter(moments.values()))["models"].values()))["by_length"]
    panels = [
        Panel(
            f"{group} earlier (n = {sizes[group]['n']:,})",
            {
                moment: _means({name: result["models"][name]["by_length"][group] for name in names}, GATE_METRIC)
                for moment, result in moments.items()
                if group in result["models"][names[0]]["by_length"]  # a first invoice has no emission before it
            },
        )
        for group in sizes
    ]
    moment, result = next(iter(moments.items()))
    groups_of: dict[str, list[str]] = {}
    for group in sizes:
        found = _highest({name: model["by_length"][group] for name, model in result["models"].items()}, GATE_METRIC)
        if found is not None:
            groups_of.setdefault(found[0], []).append(f"{group} ({format_metric(found[1])})")
    best = "; ".join(f"{name} with {', '.join(groups)}" for name, groups in groups_of.items())
    sentence = f"Best at the {moment}, by the number of earlier invoices: {best}."
    figure = _intervals("lengths", f"{GATE_METRIC} by the number of earlier invoices", names, panels, sentence)
    return Section(
        "By length of history", "", [figure, *(_table(tables.lengths(report, moment)) for moment in moments)]
    )


def _kinds(report: Mapping[str, Any], names: Sequence[str]) -> Section:
    moments = report["moments"]
    metrics = KINDS[report["task"]]
    panels = [
        Panel(
            f"{metric} (n = {report['holding'][metric.removeprefix('recall@20_')]:,})",
            {moment: _means(result["models"], metric) for moment, result in moments.items()},
        )
        for metric in metrics
    ]
    moment, result = next(iter(moments.items()))
    best = [
        f"of {metric.removeprefix('recall@20_')} items "
        + (f"{name} finds the most ({format_metric(value)})" if value else "none is found")
        for metric in metrics
        if (found := _highest(result["models"], metric))
        for name, value in [found]
    ]
    sentence = f"At the {moment}, among the first 20: {', '.join(best)}."
    return Section(
        "Repeat, new, cold and rare",
        "The share of the basket's items of a kind that are among the first 20 of the ranking. Repeat and new: whether "
        "the customer had bought it before. Cold: new, and first sold less than 30 days before. Rare: on fewer than 5 "
        "invoices before. n: invoices that hold such items.",
        [_intervals("kinds", "What kind of items is found", names, panels, sentence)],
    )


def _calibration(report: Mapping[str, Any], names: Sequence[str]) -> Section:
    moments = report["moments"]
    models = {
        name: {
            moment: (result["models"][name]["reliability"], result["models"][name]["mean"]["ece@20"])
            for moment, result in moments.items()
            if result["models"][name]["reliability"]
        }
        for name in names
    }
    models = {name: each for name, each in models.items() if each}
    moment = next(iter(moments))
    errors = {name: each[moment][1] for name, each in models.items() if moment in each}
    lowest, highest = min(errors, key=errors.__getitem__), max(errors, key=errors.__getitem__)
    figure = Figure(
        "reliability",
        draw(
            "Predicted and observed frequency",
            lambda drawing: charts.reliability_diagram(drawing, models),
            size=(WIDTH, charts.reliability_height(len(models), WIDTH)),
            narrow_height=charts.reliability_height(len(models), HALF[0]),
        ),
        "Reliability plots, one a model: the share of items that were bought against the predicted probability.",
        "On the line, of the items with a probability of 30 % three in ten are bought. "
        f"At the {moment} the calibration error is lowest for {lowest} ({errors[lowest]:.3f}) and highest for "
        f"{highest} ({errors[highest]:.3f}).",
    )
    return Section(
        "Are the probabilities calibrated",
        "The first 20 items of every ranking in 15 bins of equal mass, and the expected calibration error: the mean "
        "distance from the line.",
        [figure],
    )


def _ablations(report: Mapping[str, Any]) -> list[Section]:
    moments = {moment: result["ablations"] for moment, result in report["moments"].items() if result["ablations"]}
    if not moments:
        return []
    moment, ablations = next(iter(moments.items()))
    names = list(ablations[GATE_METRIC])
    panels = [
        Panel(
            metric,
            {
                each: {name: charts.of_difference(differences[metric][name]) for name in names}
                for each, differences in moments.items()
            },
        )
        for metric in ABLATED
    ]
    worst = min(names, key=lambda name: ablations[GATE_METRIC][name]["mean"])
    lost = format_difference(ablations[GATE_METRIC][worst])
    sentence = f"At the {moment} {worst} is lowest against its base by {GATE_METRIC}: {lost}."
    title = "Difference of each variant to its base"
    return [
        Section(
            "Ablations",
            "The base is the same model with fewer options. Left of zero: worse than the base; a hollow mark: the "
            "interval includes zero.",
            [
                _intervals("ablations", title, names, panels, sentence, differences=True),
                *(_table(tables.ablations(report, each)) for each in moments),
            ],
        )
    ]


def _learning(report: Mapping[str, Any]) -> list[Section]:
    blocks = [_curves(name, seeds) for name, seeds in report["curves"].items()]
    text = "The mean loss after each epoch; with several seeds the first is the dark line."
    return [Section("Learning curves", text, blocks)] if blocks else []


def _curves(name: str, seeds: Mapping[str, Mapping[str, Sequence[float]]]) -> Figure:
    first = next(iter(seeds.values()))
    losses_of = [
        f"{part} from {losses[0]:.3f} to {losses[-1]:.3f}, lowest in epoch {losses.index(min(losses)) + 1}"
        for part, losses in first.items()
    ]
    return Figure(
        f"curves-{''.join(letter if letter.isalnum() else '-' for letter in name.lower())}",
        draw(name, lambda drawing: charts.curves(drawing, seeds), size=HALF),
        f"Line chart: loss of {name} by epoch.",
        f"{_sentence('; '.join(losses_of))}.",
    )


def _intervals(
    name: str, title: str, names: Sequence[str], panels: Sequence[Panel], sentence: str, *, differences: bool = False
) -> Figure:
    def paint(drawing: Drawing) -> None:
        charts.intervals(drawing, names, panels, differences=differences)

    picture = draw(
        title,
        paint,
        size=(WIDTH, charts.height(names, panels, WIDTH)),
        narrow_height=charts.height(names, panels, HALF[0]),
    )
    kind = "Differences" if differences else "Means"
    alt = f"{kind} with 95 % intervals, a row a model: {', '.join(panel.title for panel in panels)}."
    return Figure(name, picture, alt, sentence)


def _table(cells: tables.Cells) -> Table:
    """A table of the page; only the blank before an interval is where a line may be broken."""
    return Table(cells.caption, cells.columns, [[cell.replace(", ", ",\u00a0") for cell in row] for row in cells.rows])


def _by_rank(result: Mapping[str, Any]) -> list[str]:
    """Names of models, the best by ``GATE_METRIC`` first."""
    return sorted(result["models"], key=lambda name: -(result["models"][name]["mean"][GATE_METRIC] or 0.0))


def _means(models: Mapping[str, Any], metric: str) -> dict[str, MeanInterval | None]:
    return {name: charts.of_mean(summary, metric) for name, summary in models.items()}


def _highest(models: Mapping[str, Any], metric: str) -> tuple[str, float] | None:
    known = {name: value for name, each in models.items() if (value := each["mean"][metric]) is not None}
    return max(known.items(), key=lambda pair: pair[1]) if known else None


def _format_interval(interval: MeanInterval | None) -> str:
    if interval is None:
        return "–"
    mean, low, high = map(format_metric, interval)
    return f"{mean} [{low}, {high}]"


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]
