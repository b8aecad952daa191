"""Metrics as text for Prometheus, written in steps between which other tasks run.

``prometheus_client`` takes a second for the metrics of 10,000 zones, and holds up the event loop.
"""

import asyncio
from collections.abc import Iterable, Iterator
from itertools import accumulate, islice
from typing import Final, Literal, NamedTuple

from musterd.histogram import Histogram

STEP: Final = 1000
"""Lines that are written in one step."""
_ESCAPES: Final = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


class MetricSamples(NamedTuple):
    """The samples of a metric: labels as ``label`` returns them, and value."""

    kind: Literal["counter", "gauge", "histogram"]
    name: str
    about: str
    samples: Iterable[tuple[str, float | Histogram]]


def label(name: str, value: str) -> str:
    """Return a label as text. Labels are joined by commas, in alphabetical order."""
    return f'{name}="{value.translate(_ESCAPES)}"'


async def write(families: Iterable[MetricSamples], *, open_metrics: bool) -> bytes:
    """Return families as text, in the format OpenMetrics (without its end) or the older one."""
    parts: list[str] = []
    for kind, name, about, samples in families:
        sample = f"{name}_total" if kind == "counter" else name
        family = name if open_metrics else sample
        parts.append(f"# HELP {family} {about}\n# TYPE {family} {kind}\n")
        lines = _lines(sample, samples)
        while step := list(islice(lines, STEP)):
            parts += step
            await asyncio.sleep(0)
    return "".join(parts).encode()


def _lines(name: str, samples: Iterable[tuple[str, float | Histogram]]) -> Iterator[str]:
    for labels, value in samples:
        if isinstance(value, Histogram):
            yield from _histogram(name, labels, value)
        else:
            yield _line(name, labels, value)


def _line(name: str, labels: str, value: float) -> str:
    return f"{name}{{{labels}}} {value}\n" if labels else f"{name} {value}\n"


def _histogram(name: str, labels: str, histogram: Histogram) -> Iterator[str]:
    before = f"{labels}," if labels else ""
    totals = list(accumulate(histogram.counts))
    for bound, total in zip([*histogram.bounds, "+Inf"], totals, strict=True):
        yield _line(f"{name}_bucket", f'{before}le="{bound}"', total)
    yield _line(f"{name}_sum", labels, histogram.total)
    yield _line(f"{name}_count", labels, totals[-1])
