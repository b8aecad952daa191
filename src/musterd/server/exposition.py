"""Metrics as text for Prometheus, written in steps between which other tasks run.

``prometheus_client`` takes a second for the metrics of 10,000 zones, and holds up the event loop.
"""

import asyncio
from collections.abc import Iterable
from itertools import islice
from typing import Final, Literal, NamedTuple

STEP: Final = 1000
"""Samples that are written without a break."""
_ESCAPES: Final = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


class MetricSamples(NamedTuple):
    """The samples of a metric: labels as ``label`` returns them, and value."""

    kind: Literal["counter", "gauge"]
    name: str
    about: str
    samples: Iterable[tuple[str, float]]


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
        rest = iter(samples)
        while step := list(islice(rest, STEP)):
            parts += [
                f"{sample}{{{labels}}} {value}\n" if labels else f"{sample} {value}\n"
                for labels, value in step
            ]
            await asyncio.sleep(0)
    return "".join(parts).encode()
