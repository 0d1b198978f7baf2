"""A comparison as a report with pictures: what ``report.as_dict`` gave, drawn, and said in sentences."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure as Drawing

from training.evaluation import pictures, tables
from training.evaluation.pictures import Ends, Panel
from training.evaluation.report import GATE_METRIC
from training.evaluation.tables import ABLATED, GAINS, difference, written
from training.report import HALF, Figure, Page, Section, Table, draw

QUALITY = {
    "next-basket": ("recall@10", "ndcg@10", "hit@1", "recall@20"),
    "discover": ("recall@20", "ndcg@10", "hit@10", "ndcg@20"),
}
KINDS = {
    "next-basket": ("recall@20_repeat", "recall@20_new", "recall@20_cold", "recall@20_rare"),
    "discover": ("recall@20_cold", "recall@20_rare"),
}
"""By task, the metrics that are drawn beside each other."""

WIDTH = 10.0

_RANKED = {
    "next-basket": "the whole catalogue for an invoice of a customer who had bought before",
    "discover": "what the customer had never bought for an invoice that holds such an item",
}

_WHEN = {
    "visit": "just before the invoice, which is what a storefront asks",
    "emission": "right after the customer's previous invoice, which is what the topic carries",
}


def page(report: Mapping[str, Any], *, footer: str = "") -> Page:
    """The page of a comparison.

    Args:
        report: What ``report.as_dict`` gave.
        footer: How it was made, so that it can be made again.
    """
    moments = report["moments"]
    names = _by_rank(next(iter(moments.values())))
    when = " and ".join(f"at the {each} ({_WHEN[each]})" for each in moments)
    seeds = len(report["seeds"])
    return Page(
        title=f"Models compared, {report['from']} to {report['to']}",
        lead=(
            f"Every model was fitted on what lies before {report['from']} and then, {when}, ranked "
            f"{_RANKED[report['task']]}. Judged are all of them before {report['to']}. Lines are 95 % intervals from "
            "drawing customers, with all their invoices, 2,000 times."
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
    )


def _quality(report: Mapping[str, Any], names: Sequence[str]) -> Section:
    moments = report["moments"]
    panels = [
        Panel(metric, {when: _means(judged["models"], metric) for when, judged in moments.items()})
        for metric in QUALITY[report["task"]]
    ]
    said = [
        f"at the {when} {judged['best']} has the highest {GATE_METRIC}, "
        f"{_ends(pictures.of_mean(judged['models'][judged['best']], GATE_METRIC))}"
        for when, judged in moments.items()
    ]
    figure = _intervals("metrics", "How good each model is", names, panels, f"{_sentence('; '.join(said))}.")
    return Section(
        "How good they are",
        "hit@k: any of the first k items was bought; recall@k: the share of the basket among them; ndcg@k: the same, "
        "where early places count more.",
        [figure, *(_table(tables.means(report, when)) for when in moments)],
    )


def _gains(report: Mapping[str, Any]) -> list[Section]:
    blocks: list[Figure | Table] = []
    for when, judged in report["moments"].items():
        gains, best = judged["gains"], judged["best"]
        if not gains:
            continue
        names = [name for name in _by_rank(judged) if name != best]
        panels = [
            Panel(metric, {when: {name: pictures.of_difference(gains[metric][name]) for name in names}})
            for metric in GAINS
        ]
        unsure = [name for name in names if not (gains[GATE_METRIC][name]["low"] or 0.0) > 0.0]
        verdict = f"{', '.join(unsure)} it does not" if unsure else "every other model it does"
        sentence = f"At the {when} {best} leads by {GATE_METRIC}. Does the interval exclude zero? Over {verdict}."
        title = f"How far {best} is ahead at the {when}"
        blocks += [
            _intervals(f"gains-{when}", title, names, panels, sentence, differences=True),
            _table(tables.gains(report, when)),
        ]
    if not blocks:
        return []
    text = (
        "A difference is taken invoice by invoice, so that both models meet the same customers. Right of zero the best "
        "is ahead; a hollow mark may be zero. Beyond ±.02 the scale is logarithmic."
    )
    return [Section("Who is ahead, and is it chance", text, blocks)]


def _lengths(report: Mapping[str, Any], names: Sequence[str]) -> Section:
    moments = report["moments"]
    sizes = next(iter(next(iter(moments.values()))["models"].values()))["by_length"]
    panels = [
        Panel(
            f"{group} earlier (n = {sizes[group]['n']:,})",
            {
                when: _means({name: judged["models"][name]["by_length"][group] for name in names}, GATE_METRIC)
                for when, judged in moments.items()
                if group in judged["models"][names[0]]["by_length"]  # at the emission nobody's first purchase is ahead
            },
        )
        for group in sizes
    ]
    when, judged = next(iter(moments.items()))
    best: dict[str, list[str]] = {}
    for group in sizes:
        found = _highest({name: model["by_length"][group] for name, model in judged["models"].items()}, GATE_METRIC)
        if found is not None:
            best.setdefault(found[0], []).append(f"{group} ({written(found[1])})")
    said = "; ".join(f"{name} with {', '.join(groups)}" for name, groups in best.items())
    sentence = f"Best at the {when}, by the number of earlier invoices: {said}."
    figure = _intervals("lengths", f"{GATE_METRIC} by the number of earlier invoices", names, panels, sentence)
    return Section("By length of history", "", [figure, *(_table(tables.lengths(report, when)) for when in moments)])


def _kinds(report: Mapping[str, Any], names: Sequence[str]) -> Section:
    moments = report["moments"]
    metrics = KINDS[report["task"]]
    panels = [
        Panel(
            f"{metric} (n = {report['holding'][metric.removeprefix('recall@20_')]:,})",
            {when: _means(judged["models"], metric) for when, judged in moments.items()},
        )
        for metric in metrics
    ]
    when, judged = next(iter(moments.items()))
    said = [
        f"of {metric.removeprefix('recall@20_')} items {name} finds most ({written(value)})"
        for metric in metrics
        if (found := _highest(judged["models"], metric))
        for name, value in [found]
    ]
    sentence = f"At the {when}, among the first 20: {', '.join(said)}."
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
            when: (judged["models"][name]["reliability"], judged["models"][name]["mean"]["ece@20"])
            for when, judged in moments.items()
            if judged["models"][name]["reliability"]
        }
        for name in names
    }
    models = {name: each for name, each in models.items() if each}
    when = next(iter(moments))
    errors = {name: each[when][1] for name, each in models.items() if when in each}
    least, most = min(errors, key=errors.__getitem__), max(errors, key=errors.__getitem__)
    figure = Figure(
        "reliability",
        draw(
            "What was promised, and what came true",
            lambda drawing: pictures.reliability(drawing, models),
            size=(WIDTH, pictures.reliability_height(len(models))),
        ),
        "Reliability plots, one a model: the share of items that were bought against the probability given.",
        "On the line, of the items given 30 % three in ten are bought. "
        f"At the {when} the calibration error is least for {least} ({errors[least]:.3f}) and greatest for {most} "
        f"({errors[most]:.3f}).",
    )
    return Section(
        "Are the probabilities right",
        "The first 20 items of every ranking in 15 bins of equal mass, and the expected calibration error: the mean "
        "distance from the line.",
        [figure],
    )


def _ablations(report: Mapping[str, Any]) -> list[Section]:
    moments = {when: judged["ablations"] for when, judged in report["moments"].items() if judged["ablations"]}
    if not moments:
        return []
    when, ablations = next(iter(moments.items()))
    names = list(ablations[GATE_METRIC])
    panels = [
        Panel(
            metric,
            {
                each: {name: pictures.of_difference(held[metric][name]) for name in names}
                for each, held in moments.items()
            },
        )
        for metric in ABLATED
    ]
    worst = min(names, key=lambda name: ablations[GATE_METRIC][name]["mean"])
    lost = difference(ablations[GATE_METRIC][worst])
    sentence = f"At the {when} {worst} is lowest against its base by {GATE_METRIC}: {lost}."
    title = "What a variant gains or loses against its base"
    return [
        Section(
            "Ablations",
            "A base is the same model with fewer options. Left of zero: worse than it; a hollow mark may be zero.",
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
    said = [
        f"{part} from {losses[0]:.3f} to {losses[-1]:.3f}, lowest in epoch {losses.index(min(losses)) + 1}"
        for part, losses in first.items()
    ]
    return Figure(
        f"curves-{''.join(letter if letter.isalnum() else '-' for letter in name.lower())}",
        draw(name, lambda drawing: pictures.curves(drawing, seeds), size=HALF),
        f"Line chart: loss of {name} by epoch.",
        f"{_sentence('; '.join(said))}.",
    )


def _intervals(
    name: str, title: str, names: Sequence[str], panels: Sequence[Panel], sentence: str, *, differences: bool = False
) -> Figure:
    def paint(drawing: Drawing) -> None:
        pictures.intervals(drawing, names, panels, differences=differences)

    picture = draw(title, paint, size=(WIDTH, pictures.height(len(names), len(panels[0].values))))
    kind = "Differences" if differences else "Means"
    alt = f"{kind} with 95 % intervals, a row a model: {', '.join(panel.title for panel in panels)}."
    return Figure(name, picture, alt, sentence)


def _table(cells: tables.Cells) -> Table:
    return Table(cells.caption, cells.columns, cells.rows)


def _by_rank(judged: Mapping[str, Any]) -> list[str]:
    """Names of models, the best by ``GATE_METRIC`` first."""
    return sorted(judged["models"], key=lambda name: -(judged["models"][name]["mean"][GATE_METRIC] or 0.0))


def _means(models: Mapping[str, Any], metric: str) -> dict[str, Ends | None]:
    return {name: pictures.of_mean(figures, metric) for name, figures in models.items()}


def _highest(models: Mapping[str, Any], metric: str) -> tuple[str, float] | None:
    known = {name: value for name, each in models.items() if (value := each["mean"][metric]) is not None}
    return max(known.items(), key=lambda held: held[1]) if known else None


def _ends(ends: Ends | None) -> str:
    return "–" if ends is None else f"{written(ends[0])} [{written(ends[1])}, {written(ends[2])}]"


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]
