"""The picture of a long run: memory, lag, latency and processor time over its minutes."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from bench.soak.samples import Sample, Window
from training.report.style import BLUE, GREEN, VERMILION, draw, thousands

SIZE = (10.0, 8.4)
POINTS = 240
"""At most so many points of a line: the greatest of each span, so that no peak is lost."""


def picture(title: str, samples: Sequence[Sample], found: Sequence[Window]) -> bytes:
    """The SVG, which follows light and dark pages."""

    def paint(figure: Figure) -> None:
        memory, lag, latency, processor = figure.subplots(4, 1, sharex=True)
        minutes, every = _minutes(samples)
        _line(memory, minutes, _peaks([one.worker_mb for one in samples], every), BLUE, "worker")
        _line(memory, minutes, _peaks([one.redis_mb for one in samples], every), VERMILION, "Redis")
        memory.set_ylabel("resident memory, MB")
        _line(lag, minutes, _peaks([float(one.lag) for one in samples], every), BLUE, "")
        lag.set_ylabel("lag, events")
        at = [one.second / 60 for one in found]
        _line(latency, at, [one.p50_ms for one in found], BLUE, "p50 of 10 s")
        _line(latency, at, [one.p99_ms for one in found], VERMILION, "p99 of 10 s")
        latency.set_ylabel("latency, ms")
        shares = (
            ([one.worker_cpu for one in samples], BLUE, "worker"),
            ([one.redis_cpu for one in samples], VERMILION, "Redis"),
            ([one.kafka_cpu for one in samples], GREEN, "Kafka"),
        )
        for values, colour, name in shares:
            _line(processor, minutes, _means(values, every), colour, name)
        processor.set_ylabel("processor, cores")
        processor.set_xlabel("minutes since the first event")
        for axes in (memory, lag, latency, processor):
            axes.set_ylim(bottom=0)
            axes.margins(x=0.01)
            axes.yaxis.set_major_locator(MaxNLocator(4, min_n_ticks=3))
            if axes is not processor:
                thousands(axes.yaxis)
            if axes is not lag:
                axes.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), borderaxespad=0.0, ncols=3)
        figure.align_ylabels()

    return draw(title, paint, size=SIZE).content


def _line(axes: Axes, at: Sequence[float], values: Sequence[float], colour: str, name: str) -> None:
    axes.plot(at, values, color=colour, linewidth=1.3, label=name or None)


def _minutes(samples: Sequence[Sample]) -> tuple[list[float], int]:
    """The time of each point in minutes, and how many samples it stands for."""
    every = -(-len(samples) // POINTS)
    return [one.second / 60 for one in samples[::every]], every


def _peaks(values: Sequence[float], every: int) -> list[float]:
    return [max(values[start : start + every]) for start in range(0, len(values), every)]


def _means(values: Sequence[float], every: int) -> list[float]:
    parts = [values[start : start + every] for start in range(0, len(values), every)]
    return [sum(part) / len(part) for part in parts]
