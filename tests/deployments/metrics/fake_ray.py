"""As much of `ray.serve.metrics` as a recorder needs, which keeps what it is told."""

from collections import defaultdict


class Metrics:
    """
    Attributes:
        said: by name and labels, in order: amounts, values, observations.
        labels: of each metric, by name.
    """

    def __init__(self):
        self.said = defaultdict(list)
        self.labels = {}

    def Counter(self, name, meaning, labels):
        return self._made(name, labels)

    Gauge = Counter

    def Histogram(self, name, meaning, buckets, labels):
        assert list(buckets) == sorted(buckets) and buckets[0] > 0
        return self._made(name, labels)

    def _made(self, name, labels):
        assert name not in self.labels, "made twice"
        self.labels[name] = labels
        return _Made(self, name)

    def last(self, name: str, **labels: str) -> float:
        return self.said[name, frozenset(labels.items())][-1]

    def total(self, name: str, **labels: str) -> float:
        return sum(self.said[name, frozenset(labels.items())])


class _Made:
    def __init__(self, metrics, name):
        self._metrics, self._name, self._default = metrics, name, {}

    def set_default_tags(self, labels):
        self._default = labels

    def set(self, value, labels):
        given = self._default | labels
        assert set(given) == set(self._metrics.labels[self._name]), "not the labels that it has"
        self._metrics.said[self._name, frozenset(given.items())].append(value)

    observe = _record = set

    def inc(self, value, labels):
        assert value > 0, "Ray refuses it"
        self.set(value, labels)
