"""Ask a running server about labelled images, with caches and without in turn, and compare.

The base DNN's own answers are computed beforehand on the same decoded images.
"""

from collections import Counter
from dataclasses import dataclass, field
from time import perf_counter

import httpx
import numpy as np
from tqdm import tqdm

from workload.client.errors import answering
from workload.client.protocols import png
from workload.run.ratios import of_pairs


@dataclass
class Side:
    """What came back with caches on, or off."""

    class_ids: list[int] = field(default_factory=list)
    exits: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)


def ask(url: str, images: np.ndarray) -> dict[str, Side]:
    """Every image with caches `on` and `off`, one request at a time, which goes first by turns.

    Raises:
        ServerError: a request got no answer.
    """
    sides = {"on": Side(), "off": Side()}
    with answering(url), httpx.Client(base_url=url, timeout=60) as client:
        for i, image in enumerate(tqdm(images, desc="requests", unit="image")):
            body = png(image)
            for cache in ("on", "off") if i % 2 else ("off", "on"):
                start = perf_counter()
                answer = client.post("/predict", params={"cache": cache}, content=body)
                seconds = perf_counter() - start
                answer.raise_for_status()
                side = sides[cache]
                side.seconds.append(seconds)
                side.class_ids.append(answer.json()["class_id"])
                side.exits.append(answer.json()["exit"])
    return sides


def report(sides: dict[str, Side], answers: np.ndarray, labels: np.ndarray | None) -> str:
    """Disagreement, exits, and mean latency with a paired 95 % bootstrap interval."""
    n = len(answers)
    lines = []
    for cache, side in sides.items():
        given = np.array(side.class_ids)
        wrong = int((given != answers).sum())
        line = f"cache {cache}: {wrong} of {n} differ from the base DNN ({wrong / n:.2%})"
        if labels is not None:
            line += f", {np.mean(given == labels):.2%} right"
        ms = np.array(side.seconds) * 1e3
        line += (
            f"; ms mean {ms.mean():.2f}, p50 {np.percentile(ms, 50):.2f}, "
            f"p99 {np.percentile(ms, 99):.2f}"
        )
        lines.append(line)
    exits = Counter(sides["on"].exits)
    lines.append(
        f"hit rate {1 - exits['base'] / n:.1%}; exits "
        + ", ".join(f"{name} {count / n:.1%}" for name, count in exits.most_common())
    )
    ratio = of_pairs(np.array(sides["off"].seconds), np.array(sides["on"].seconds))
    lines.append(f"mean latency off / on, with its 95 % interval: {ratio}")
    return "\n".join(lines)
