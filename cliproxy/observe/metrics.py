"""Figures for monitoring: plain counters while the server works, Prometheus' format when somebody asks.

Counting is a dictionary and an addition; nothing of a monitoring library is involved, and none is imported
before the first question. A :class:`Family` is what one name stands for, with a value for each combination of
labels. Labels come from a few words of our own, with one exception, names of models: so a counter takes only
so many combinations, and counts what is beyond them under :data:`OTHER`.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from enum import StrEnum
from itertools import accumulate
from typing import TYPE_CHECKING, Final, TypeVar

from attrs import define, field, frozen

if TYPE_CHECKING:
    from prometheus_client import Metric

OTHER: Final = "other"
MOST: Final = 2000
"""Combinations of labels that a counter takes."""
Labels = tuple[str, ...]
L = TypeVar("L", bound=Labels)


class Sort(StrEnum):
    """What kind of figure a family is."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@define(eq=False)
class Counts:
    """Sums by labels."""

    most: int = MOST
    values: dict[Labels, float] = field(factory=dict, init=False)

    def add(self, labels: Labels, amount: float = 1) -> None:
        """Add to the sum of some labels."""
        if labels not in self.values and len(self.values) >= self.most:
            labels = (OTHER,) * len(labels)
        self.values[labels] = self.values.get(labels, 0) + amount


@define(eq=False)
class Spread:
    """How values are spread over ranges."""

    bounds: tuple[float, ...]
    """Upper ends of the ranges, without the last one, which has none."""
    counts: list[int] = field(init=False)
    total: float = field(default=0.0, init=False)

    @counts.default
    def _empty(self) -> list[int]:
        return [0] * (len(self.bounds) + 1)

    def add(self, value: float) -> None:
        """Count a value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value


@define(eq=False)
class Spreads:
    """Spreads by labels, all over the same ranges."""

    bounds: tuple[float, ...]
    most: int = MOST
    values: dict[Labels, Spread] = field(factory=dict, init=False)

    def add(self, labels: Labels, value: float) -> None:
        """Count a value of some labels."""
        spread = self.values.get(labels)
        if spread is None:
            labels = labels if len(self.values) < self.most else (OTHER,) * len(labels)
            spread = self.values.setdefault(labels, Spread(self.bounds))
        spread.add(value)


@frozen
class Family:
    """A figure under one name."""

    name: str
    """Without what the format appends to it."""
    sort: Sort
    help: str
    labels: Labels
    values: Mapping[Labels, float | Spread]


def counter(name: str, description: str, labels: Labels, values: Mapping[L, float]) -> Family:
    """Return sums."""
    return Family(name, Sort.COUNTER, description, labels, _widened(values))


def gauges(name: str, description: str, labels: Labels, values: Mapping[L, float]) -> Family:
    """Return what goes up and down."""
    return Family(name, Sort.GAUGE, description, labels, _widened(values))


def gauge(name: str, description: str, value: float) -> Family:
    """Return a figure of one value."""
    return Family(name, Sort.GAUGE, description, (), {(): float(value)})


def histogram(name: str, description: str, labels: Labels, spreads: Spreads) -> Family:
    """Return spreads as they are now."""
    values: dict[Labels, float | Spread] = {key: deepcopy(each) for key, each in spreads.values.items()}
    return Family(name, Sort.HISTOGRAM, description, labels, values)


def _widened(values: Mapping[L, float]) -> dict[Labels, float | Spread]:
    return {labels: float(value) for labels, value in values.items()}


@frozen
class _Collector:
    """What the library asks for everything there is."""

    families: Iterable[Family]

    def collect(self) -> Iterable["Metric"]:
        from prometheus_client import ProcessCollector

        yield from map(_metric, self.families)
        yield from ProcessCollector(registry=None).collect()


def _metric(family: Family) -> "Metric":
    from prometheus_client.core import (
        CounterMetricFamily,
        GaugeMetricFamily,
        HistogramMetricFamily,
    )

    head = (family.name, family.help)
    if family.sort is Sort.HISTOGRAM:
        spreads = HistogramMetricFamily(*head, labels=family.labels)
        for labels, spread in family.values.items():
            if isinstance(spread, Spread):
                ends = [*map(repr, spread.bounds), "+Inf"]
                buckets = list(zip(ends, accumulate(spread.counts), strict=True))
                spreads.add_metric(labels, buckets=buckets, sum_value=spread.total)
        return spreads
    kind: Callable[..., CounterMetricFamily | GaugeMetricFamily]
    kind = CounterMetricFamily if family.sort is Sort.COUNTER else GaugeMetricFamily
    sums = kind(*head, labels=family.labels)
    for labels, value in family.values.items():
        if not isinstance(value, Spread):
            sums.add_metric(labels, value)
    return sums


def exposition(families: Iterable[Family], accept: str = "") -> tuple[str, bytes]:
    """Return the content type and the text of figures, with those of the process itself.

    ``accept`` is the header of the same name: there are two spellings of the format. Slow; to be called in a
    thread, with families that do not change any more.
    """
    from prometheus_client.exposition import choose_encoder

    encode, content_type = choose_encoder(accept)
    return content_type, encode(_Collector(families))
