"""Streams of classes: random processes that draw the class of each request.

- `zipf`: classes of unequal popularity: the r-th most popular has a share as 1 / r^s;
- `locality`: `classes` are present at a time, requests drawn evenly among them; each stays for a
  geometric number of requests with mean `mean_stay`, then another takes its place;
- `shift`: `classes`, and after the request number `at` (by default half-way) as many others;
- `return`: `classes`, for the middle third others, and then the first again;
- `diurnal`: the classes stand round a clock, whose hand takes `period` requests for a round; the
  nearer a class to the hand, the more frequent: its weight is exp(concentration x cos(angle)), a
  von Mises distribution. At 4, 86 % of the requests are of a quarter of the clock;
- `newcomer`: all classes but `which` (its number; `drawn`, the default, draws one), and after `at`
  that one, too, each with its share in the data;
- `foreign`: `classes`, and after `at` images of a `kind` that no class is like: `noise`,
  `inverted`, `digits` or `gratings`.

Each is told how many requests there are and the `shares` of the classes in the data, `(K,)`, and
gives classes `(count,)`; those below 0 are foreign.
"""

from collections.abc import Callable

import numpy as np

from workload.errors import ParameterError
from workload.traffic.variation import FOREIGN


def zipf(count: int, shares: np.ndarray, rng: np.random.Generator, s: float = 1.0) -> np.ndarray:
    present = rng.permutation(np.flatnonzero(shares))
    weights = np.arange(1, len(present) + 1) ** -s
    return rng.choice(present, count, p=weights / weights.sum())


def locality(
    count: int,
    shares: np.ndarray,
    rng: np.random.Generator,
    classes: int = 3,
    mean_stay: int = 2000,
) -> np.ndarray:
    # one more, or none could take the place of one that leaves
    present = _some(shares, classes + 1, rng)[:classes]
    leaves = rng.geometric(1 / mean_stay, classes)
    stream = np.empty(count, int)
    now = 0
    while now < count:
        for place in np.flatnonzero(leaves <= now):
            present[place] = rng.choice(np.setdiff1d(np.flatnonzero(shares), present))
            leaves[place] = now + rng.geometric(1 / mean_stay)
        until = min(count, int(leaves.min()))
        stream[now:until] = present[rng.integers(classes, size=until - now)]
        now = until
    return stream


def shift(
    count: int, shares: np.ndarray, rng: np.random.Generator, classes: int = 3, at: int = 0
) -> np.ndarray:
    both = _some(shares, 2 * classes, rng)
    before, after = both[:classes], both[classes:]
    at = _change(at, count)
    return np.concatenate([rng.choice(before, at), rng.choice(after, count - at)])


def there_and_back(
    count: int, shares: np.ndarray, rng: np.random.Generator, classes: int = 3
) -> np.ndarray:
    both = _some(shares, 2 * classes, rng)
    parts = np.array_split(np.arange(count), 3)
    mixes = both[:classes], both[classes:], both[:classes]
    return np.concatenate([rng.choice(m, len(p)) for m, p in zip(mixes, parts, strict=True)])


def diurnal(
    count: int,
    shares: np.ndarray,
    rng: np.random.Generator,
    period: int = 5000,
    concentration: float = 4.0,
) -> np.ndarray:
    present = rng.permutation(np.flatnonzero(shares))
    stands = np.arange(len(present)) / len(present)
    stream = np.empty(count, int)
    for start in range(0, count, 1000):  # so that memory stays bounded
        hand = np.arange(start, min(count, start + 1000)) / period
        weights = np.exp(concentration * np.cos(2 * np.pi * (hand[:, None] - stands)))
        up_to = np.cumsum(weights / weights.sum(1, keepdims=True), axis=1)
        drawn = (rng.random((len(hand), 1)) > up_to).sum(1)
        stream[start : start + 1000] = present[np.minimum(drawn, len(present) - 1)]
    return stream


def newcomer(
    count: int, shares: np.ndarray, rng: np.random.Generator, which: str = "drawn", at: int = 0
) -> np.ndarray:
    present = _some(shares, max(2, int(np.count_nonzero(shares))), rng)
    if which == "drawn":
        late = int(present[0])
    elif which in map(str, present):
        late = int(which)
    else:
        known = ", ".join(map(str, sorted(present)))
        raise ParameterError(f"stream newcomer: which is {which!r}; it may be drawn, {known}")
    at = _change(at, count)
    before = np.where(np.arange(len(shares)) == late, 0, shares)
    early = rng.choice(len(shares), at, p=before / before.sum())
    return np.concatenate([early, rng.choice(len(shares), count - at, p=shares)])


def foreign(
    count: int,
    shares: np.ndarray,
    rng: np.random.Generator,
    classes: int = 3,
    at: int = 0,
    kind: str = "noise",
) -> np.ndarray:
    if kind not in FOREIGN:
        raise ParameterError(f"stream foreign: kind {kind!r} is none of {', '.join(FOREIGN)}")
    at = _change(at, count)
    known = rng.choice(_some(shares, classes, rng), at)
    return np.concatenate([known, np.full(count - at, FOREIGN[kind])])


def _some(shares: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """So many of the classes that the data have, at random."""
    present = np.flatnonzero(shares)
    if not 0 < count <= len(present):
        raise ParameterError(f"the stream needs {count} classes; the data have {len(present)}")
    return rng.permutation(present)[:count]


def _change(at: int, count: int) -> int:
    if at >= count:
        raise ParameterError(f"at={at} is not before the last of {count} requests")
    return at or count // 2


CLASS_STREAMS: dict[str, Callable[..., np.ndarray]] = {
    "zipf": zipf,
    "locality": locality,
    "shift": shift,
    "return": there_and_back,
    "diurnal": diurnal,
    "newcomer": newcomer,
    "foreign": foreign,
}
