"""Counters and histograms that cost little to add to: a dictionary, read when somebody looks.

The client library's own take a lock and several calls for each value, and a request adds a dozen.
"""

from bisect import bisect_left
from collections.abc import Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.utils import floatToGoString

SERIES_MAX = 500
OTHER = "other"


class Counter:
    """Only grows. Each series is added to by one thread, and read by any."""

    kind = "counter"

    def __init__(self, registry: CollectorRegistry, name: str, meaning: str, *labels: str) -> None:
        self.name = name
        self.meaning = meaning
        self.labels = labels
        self._values: dict[tuple[str, ...], float] = {} if labels else {(): 0.0}
        registry.register(self)

    def add(self, *labels: str, by: float = 1) -> None:
        """`by` more for these label values, in the order of the definition."""
        values = self._values
        if labels in values:
            values[labels] += by
        else:
            self._first(labels, by)

    def _first(self, labels: tuple[str, ...], by: float) -> None:
        if len(labels) != len(self.labels):
            raise ValueError(f"{self.name} has the labels {self.labels}")
        if len(self._values) >= SERIES_MAX:
            labels = (OTHER,) * len(labels)
        self._values[labels] = self._values.get(labels, 0.0) + by

    def describe(self) -> Iterator[CounterMetricFamily]:
        """Without values, for the registry."""
        yield CounterMetricFamily(self.name, self.meaning, labels=self.labels)

    def collect(self) -> Iterator[CounterMetricFamily]:
        """As the registry reads it."""
        family = CounterMetricFamily(self.name, self.meaning, labels=self.labels)
        for labels, value in list(self._values.items()):
            family.add_metric(labels, value)
        yield family


class _Spread:
    """One series: how many values lie at or below each bound and above the one before, the last above all."""

    __slots__ = ("counts", "sum")

    def __init__(self, bounds: int) -> None:
        self.counts = [0] * (bounds + 1)
        self.sum = 0.0


class Histogram:
    """How values are spread. Each series is added to by one thread, and read by any."""

    kind = "histogram"

    def __init__(
        self, registry: CollectorRegistry, name: str, meaning: str, *labels: str, buckets: tuple[float, ...]
    ) -> None:
        self.name = name
        self.meaning = meaning
        self.labels = labels
        self._bounds = tuple(float(bound) for bound in buckets)
        self._said = (*[_go(bound) for bound in self._bounds], "+Inf")
        self._spreads: dict[tuple[str, ...], _Spread] = {}
        if not labels:
            self._first(())
        registry.register(self)

    def see(self, value: float, *labels: str) -> None:
        """One more value for these label values."""
        spread = self._spreads.get(labels)
        if spread is None:
            spread = self._first(labels)
        spread.counts[bisect_left(self._bounds, value)] += 1
        spread.sum += value

    def _first(self, labels: tuple[str, ...]) -> _Spread:
        if len(labels) != len(self.labels):
            raise ValueError(f"{self.name} has the labels {self.labels}")
        if len(self._spreads) >= SERIES_MAX:
            labels = (OTHER,) * len(labels)
        return self._spreads.setdefault(labels, _Spread(len(self._bounds)))

    def describe(self) -> Iterator[HistogramMetricFamily]:
        """Without values, for the registry."""
        yield HistogramMetricFamily(self.name, self.meaning, labels=self.labels)

    def collect(self) -> Iterator[HistogramMetricFamily]:
        """As the registry reads it."""
        family = HistogramMetricFamily(self.name, self.meaning, labels=self.labels)
        for labels, spread in list(self._spreads.items()):
            family.add_metric(labels, self._buckets(spread), spread.sum)
        yield family

    def _buckets(self, spread: _Spread) -> list[tuple[str, float]]:
        total = 0.0
        buckets: list[tuple[str, float]] = []
        for said, count in zip(self._said, list(spread.counts), strict=True):
            total += count
            buckets.append((said, total))
        return buckets


def _go(bound: float) -> str:
    """As Prometheus writes bounds."""
    return str(floatToGoString(bound))  # type: ignore[no-untyped-call]  # the library does not type it
