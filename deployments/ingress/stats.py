"""What one router has answered, in a form that adds up over routers."""

from collections import Counter, defaultdict

from hdrh.histogram import HdrHistogram

MAX_LATENCY_US = 600_000_000


def _histogram() -> HdrHistogram:
    return HdrHistogram(1, MAX_LATENCY_US, 2)


class Stats:
    """Counts and latency histograms by exit; a batch counts once a row."""

    def __init__(self):
        self._by_exit: dict[str, HdrHistogram] = {}
        self._errors: Counter[int] = Counter()

    def count(self, exits: list[str], latency_ms: float) -> None:
        for name, rows in Counter(exits).items():
            histogram = self._by_exit.setdefault(name, _histogram())
            histogram.record_value(min(max(int(latency_ms * 1e3), 1), MAX_LATENCY_US), rows)

    def count_error(self, status: int) -> None:
        self._errors[status] += 1

    def snapshot(self, lookup_failures: dict[str, int], hops: dict[str, dict[str, int]]) -> dict:
        """All of it, as values that travel.

        Args:
            hops: by deployment, how many calls went which way.
        """
        return {
            "by_exit": {name: h.encode() for name, h in self._by_exit.items()},
            "errors": dict(self._errors),
            "lookup_failures": dict(lookup_failures),
            "hops": hops,
        }


def merge(snapshots: list[dict]) -> dict:
    """The stats of all routers together, for people and programs to read."""
    by_exit: dict[str, HdrHistogram] = {}
    errors: Counter[int] = Counter()
    failures: Counter[str] = Counter()
    hops: dict[str, Counter[str]] = defaultdict(Counter)
    for snapshot in snapshots:
        for name, encoded in snapshot["by_exit"].items():
            by_exit.setdefault(name, _histogram()).decode_and_add(encoded)
        errors.update(snapshot["errors"])
        failures.update(snapshot["lookup_failures"])
        for name, by_way in snapshot["hops"].items():
            hops[name].update(by_way)
    total = _histogram()
    for histogram in by_exit.values():
        total.add(histogram)
    count = total.get_total_count()
    base = by_exit["base"].get_total_count() if "base" in by_exit else 0
    return {
        "requests": count,
        "hit_rate": (count - base) / count if count else None,
        "latency_ms": _summary(total),
        "exits": {name: _summary(histogram) for name, histogram in sorted(by_exit.items())},
        "errors": {str(status): n for status, n in sorted(errors.items())},
        "lookup_failures": dict(failures),
        "hops": {name: dict(by_way) for name, by_way in hops.items()},
    }


def _summary(histogram: HdrHistogram) -> dict:
    count = histogram.get_total_count()
    if not count:
        return {"count": 0}
    return {
        "count": count,
        "mean": round(histogram.get_mean_value() / 1e3, 3),
        **{f"p{p}": round(histogram.get_value_at_percentile(p) / 1e3, 3) for p in (50, 90, 95, 99)},
        "max": round(histogram.get_max_value() / 1e3, 3),
    }
