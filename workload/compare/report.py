"""What a comparison showed: figures by system."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from workload.client.answers import ERROR, Answers
from workload.run.ratios import Ratio, of_blocks, of_turns

QUANTILES = np.linspace(0, 1, 101)


def figures(
    answers: Sequence[Answers], truth: Sequence[np.ndarray], compute_ms: Mapping[str, float]
) -> dict[str, Any]:
    """Of one system's answers in all.

    Args:
        truth: the base DNN's labels, likewise.
        compute_ms: by exit, as far as known.
    """
    exits = np.concatenate([a.exits for a in answers])
    answered = exits != ERROR
    ms = np.concatenate([a.latency_ms for a in answers])[answered]
    labels = np.concatenate([a.class_ids for a in answers])[answered]
    wrong = int((labels != np.concatenate(list(truth))[answered]).sum())
    failures = Counter(filter(None, np.concatenate([a.failures for a in answers]).tolist()))
    taken = Counter(exits[answered].tolist())
    n = len(ms)
    priced = n > 0 and compute_ms.keys() >= taken.keys()
    return {
        "answered": n,
        "errors": dict(failures),
        "wrong": wrong,
        "disagreement": wrong / n if n else None,
        "exits": {name: count / n for name, count in taken.most_common()},
        "mean_ms": float(ms.mean()) if n else None,
        "p50_ms": float(np.percentile(ms, 50)) if n else None,
        "p99_ms": float(np.percentile(ms, 99)) if n else None,
        "quantiles_ms": np.quantile(ms, QUANTILES).round(3).tolist() if n else [],
        "compute_ms": sum(compute_ms[e] * c for e, c in taken.items()) / n if priced else None,
    }


def closed(
    answers: Mapping[str, Answers],
    truth: np.ndarray,
    reference: str | None,
    compute_ms: Mapping[str, Mapping[str, float]],
    requests_per_turn: int = 1,
) -> dict[str, Any]:
    """Of all contenders, asked in turn.

    Args:
        compute_ms: by contender, by exit.
    """
    latency_ms = {name: _latency_ms(a) for name, a in answers.items()}
    found = {}
    for name, a in answers.items():
        found[name] = figures([a], [truth], compute_ms.get(name, {}))
        if reference:
            ratio = of_turns(latency_ms[reference], latency_ms[name], requests_per_turn)
            found[name]["times_faster"] = _plain(ratio)
    return found


def in_blocks(
    answers: Mapping[str, Sequence[Answers]],
    truth: Sequence[np.ndarray],
    reference: str | None,
    compute_ms: Mapping[str, Mapping[str, float]],
) -> dict[str, Any]:
    """Of all systems, asked in blocks."""
    means = {
        name: np.array([_mean(_latency_ms(a)) for a in blocks]) for name, blocks in answers.items()
    }
    found = {}
    for name, blocks in answers.items():
        found[name] = figures(blocks, truth, compute_ms.get(name, {}))
        found[name]["block_means_ms"] = [None if np.isnan(m) else float(m) for m in means[name]]
        if reference:
            found[name]["times_faster"] = _plain(of_blocks(means[reference], means[name]))
    return found


def tax(
    answers: Mapping[str, Answers], served: str, in_process: str, requests_per_turn: int = 1
) -> dict[str, Any] | None:
    """Mean latency over HTTP over the same cascade's without a server, on the same requests."""
    if served not in answers or in_process not in answers:
        return None
    served_ms, in_process_ms = (_latency_ms(answers[name]) for name in (served, in_process))
    return _plain(of_turns(served_ms, in_process_ms, requests_per_turn))


def _latency_ms(answers: Answers) -> np.ndarray:
    return np.where(answers.exits == ERROR, np.nan, answers.latency_ms)


def _mean(values: np.ndarray) -> float:
    return float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")


def _plain(ratio: Ratio | None) -> dict[str, Any] | None:
    return None if ratio is None else asdict(ratio)
