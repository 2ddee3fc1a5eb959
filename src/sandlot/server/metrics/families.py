"""From figures to what Prometheus reads. docs/metrics.md has a line for each name, which a test checks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from prometheus_client import Metric, exposition
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.openmetrics import exposition as openmetrics

from sandlot.tally import BOUNDS_S, Counts, Durations

Samples = Mapping[Any, float]
"""By the labels' values, which are a tuple."""


def gauge(name: str, help: str, samples: Samples | float | None, *labels: str) -> Metric:
    """``samples`` of a plain number has no labels; of None is a figure that is not known now."""
    family = GaugeMetricFamily(f"sandlot_{name}", help, labels=labels)
    for values, value in _samples(samples).items():
        family.add_metric(values, value)
    return family


def counter(name: str, help: str, samples: Samples | float | None, *labels: str) -> Metric:
    """``name`` is without ``_total``."""
    family = CounterMetricFamily(f"sandlot_{name}", help, labels=labels)
    for values, value in _samples(samples).items():
        family.add_metric(values, value)
    return family


def counts(name: str, help: str, tally: Counts) -> Metric:
    return counter(name, help, tally.read() or (0 if not tally.labels else None), *tally.labels)


def durations(name: str, help: str, tally: Durations) -> Metric:
    family = HistogramMetricFamily(f"sandlot_{name}", help, labels=tally.labels)
    bounds = [*map(str, BOUNDS_S), "+Inf"]
    for values, found in tally.read().items():
        family.add_metric(values, list(zip(bounds, found.up_to, strict=True)), found.sum_s)
    return family


class Families:
    """What ``prometheus_client`` writes out: anything with ``collect``."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = list(families)

    def collect(self) -> Iterator[Metric]:
        return iter(self._families)


def write_out(families: Families, accept: str) -> tuple[bytes, str]:
    """The text and its type: OpenMetrics where ``accept`` speaks of it, the older format otherwise."""
    # Not the library's own choice, which fails on versions that it cannot read.
    if "application/openmetrics-text" in accept:
        text: bytes = openmetrics.generate_latest(families)  # type: ignore[no-untyped-call]
        return text, openmetrics.CONTENT_TYPE_LATEST
    return exposition.generate_latest(families), exposition.CONTENT_TYPE_PLAIN_0_0_4


def _samples(samples: Samples | float | None) -> Samples:
    if samples is None:
        return {}
    return samples if isinstance(samples, Mapping) else {(): samples}
