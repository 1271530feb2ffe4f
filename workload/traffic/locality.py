"""How much locality a stream has: measured on its classes, not asserted of its parameters."""

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


def measure(classes: np.ndarray) -> dict[str, float | None]:
    """Median and 90th percentile of the reuse distance in requests, mean entropy within a window
    and over all in bits; None where the stream is too short to say."""
    distances, entropies = reuse_distances(classes), window_entropies(classes)
    whole = window_entropies(classes, max(1, len(classes)))
    return {
        "reuse_distance_p50": float(np.median(distances)) if len(distances) else None,
        "reuse_distance_p90": float(np.percentile(distances, 90)) if len(distances) else None,
        "window_entropy_bits": float(entropies.mean()) if len(entropies) else None,
        "entropy_bits": float(whole.mean()) if len(whole) else None,
    }


def describe(measured: dict[str, float | None]) -> str:
    """For people."""

    def form(name: str, digits: int) -> str:
        value = measured[name]
        return "?" if value is None else f"{value:.{digits}f}"

    return (
        f"class reuse distance p50 {form('reuse_distance_p50', 0)}, p90 "
        f"{form('reuse_distance_p90', 0)} requests; entropy of the class within {WINDOW} requests "
        f"{form('window_entropy_bits', 2)} bits, over all {form('entropy_bits', 2)} bits"
    )
