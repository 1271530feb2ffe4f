"""How much locality a stream has: measured on what is sent, not asserted of its parameters."""

import numpy as np

WINDOW = 200


def reuse_distances(classes: np.ndarray) -> np.ndarray:
    """Requests since the last one of the same class, of all that have one."""
    order = np.argsort(classes, kind="stable")
    same = classes[order][1:] == classes[order][:-1]
    return np.diff(order)[same]


def window_entropies(classes: np.ndarray, window: int = WINDOW) -> np.ndarray:
    """Entropy in bits of the class within each full window."""
    _, ids = np.unique(classes, return_inverse=True)
    found = []
    for start in range(0, len(ids) - window + 1, window):
        share = np.bincount(ids[start : start + window]) / window
        share = share[share > 0]
        found.append(-(share * np.log2(share)).sum())
    return np.array(found)


def same_as_last(answers: np.ndarray, keys: np.ndarray | None = None) -> np.ndarray:
    """Whether each answer is that of the last request with the same key, of all that have one.

    Args:
        keys: `(n,)`; None: all have the same.
    """
    if keys is None:
        return answers[1:] == answers[:-1]
    _, ids = np.unique(keys, return_inverse=True)
    order = np.argsort(ids, kind="stable")
    same = answers[order][1:] == answers[order][:-1]
    return same[ids[order][1:] == ids[order][:-1]]


def measure(
    classes: np.ndarray,
    items: np.ndarray | None = None,
    answers: np.ndarray | None = None,
    keys: np.ndarray | None = None,
) -> dict[str, float | None]:
    """Median and 90th percentile of the reuse distance in requests, of classes and of items; mean
    entropy of the class within a window and over all in bits; and the share of requests whose
    answer by the base DNN is that of the same key's last request, and of the last one at all. None
    where that is not known, or the stream is too short to say.

    Args:
        classes: of each request, `(n,)`; the others likewise.
    """
    entropies = window_entropies(classes)
    whole = window_entropies(classes, max(1, len(classes)))
    distances = reuse_distances(classes)
    of_items = np.empty(0) if items is None else reuse_distances(items)
    none = np.empty(0)
    return {
        "keys": None if keys is None else float(len(np.unique(keys))),
        "reuse_distance_p50": _percentile(distances, 50),
        "reuse_distance_p90": _percentile(distances, 90),
        "item_reuse_distance_p50": _percentile(of_items, 50),
        "items_seen_before": None if items is None else len(of_items) / max(1, len(items)),
        "window_entropy_bits": _mean(entropies),
        "entropy_bits": _mean(whole),
        "same_as_last": _mean(none if answers is None else same_as_last(answers)),
        "same_as_keys_last": _mean(
            none if answers is None or keys is None else same_as_last(answers, keys)
        ),
    }


def describe(measured: dict[str, float | None]) -> str:
    """For people."""

    def form(name: str, digits: int) -> str:
        value = measured[name]
        return "?" if value is None else f"{value:.{digits}f}"

    parts = [
        f"class reuse distance p50 {form('reuse_distance_p50', 0)}, p90 "
        f"{form('reuse_distance_p90', 0)} requests; entropy of the class within {WINDOW} requests "
        f"{form('window_entropy_bits', 2)} bits, over all {form('entropy_bits', 2)} bits"
    ]
    if measured["items_seen_before"]:
        parts.append(
            f"{measured['items_seen_before']:.1%} are of an item that came before, reuse distance "
            f"p50 {form('item_reuse_distance_p50', 0)} requests"
        )
    if (share := measured["same_as_last"]) is not None:
        told = f"the base DNN answers as to the last request in {share:.1%}"
        if (of_key := measured["same_as_keys_last"]) is not None:
            told += f", and as to the last with the same of {measured['keys']:.0f} keys in "
            told += f"{of_key:.1%}: {_changes(of_key)}"
        parts.append(told)
    return "; ".join(parts)


def _changes(same: float) -> str:
    return "it never changes" if same == 1 else f"it changes every {1 / (1 - same):.1f} requests"


def _percentile(values: np.ndarray, percentile: float) -> float | None:
    return float(np.percentile(values, percentile)) if len(values) else None


def _mean(values: np.ndarray) -> float | None:
    return float(values.mean()) if len(values) else None
