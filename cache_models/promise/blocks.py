"""Blocks: stretches of a stream within which answers may be wrong together.

An object that stays before a camera is right or wrong for as long as it stays. How long that is,
the samples tell: what caches and base DNN agree on is alike from one to the next.
"""

import hashlib

import numpy as np

LEAST = 200
"""Samples from which on a length can be told."""
PAIRS = 100
"""Of samples about so far apart, from which on their correlation can be told."""
STRETCHES = 4
"""From which on it can be told whether streams are alike."""
FARTHEST = 8
"""A part of what there is of a stream: pairs farther apart are too few and too much alike."""


def block_length(
    signal: np.ndarray, classes: np.ndarray, streams: np.ndarray, at: np.ndarray
) -> float | None:
    """How long a block must be for the next but one to know nothing of it.

    The autocorrelation within streams of what `signal` is beyond the mean of its class, by the
    distance in time: pairs 1, 2, 4, … samples apart, at distances up to 1, 2, 4, …, as in the
    correlograms of unevenly sampled series (Edelson and Krolik 1988). A slow drift is no
    dependence, so a line with three bends is taken out of every long stream. The length is twice
    the distance from which on the correlation is within the noise, `2 / sqrt(pairs)`.

    Once of the values, where what is wrong stands out, and once of their ranks (Spearman), since
    where a cache is sure of nearly everything the values of what is alike hardly show. The longer
    one counts.

    Args:
        signal: `(N,)`, how much a sample agrees: the first cache's confidence, negative if its
            label is not the base DNN's.
        classes: the base DNN's labels, `(N,)`.
        streams: `(N,)`, any numbers.
        at: `(N,)`, when.

    Returns:
        In the unit of `at`; 0 where every sample knows of itself alone; None where too few samples
        or none that differ are there. Of what is correlated as far as can be seen, no more than
        twice as far: then there are too few blocks to test on in any case.
    """
    if len(signal) < LEAST:
        return None
    order = np.lexsort((at, streams))
    others = classes[order], streams[order], at[order]
    of_values, of_ranks = (_length(of[order], *others) for of in (signal, _ranks(signal)))
    return None if of_values is None or of_ranks is None else max(of_values, of_ranks)


def alike_at_once(
    signal: np.ndarray, classes: np.ndarray, moments: np.ndarray, stretches: np.ndarray
) -> bool:
    """Whether what streams show at one moment is alike.

    The mean product of what two samples of a moment have beyond the mean of their classes, as in
    `block_length`. How far it is from 0 by chance is told by how it differs between stretches of
    time that know nothing of each other (a ratio of sums over clusters: Cochran, Sampling
    Techniques, 1977, 6.3). So all moments count, and not just one of each stretch.

    Args:
        signal, classes: as of `block_length`.
        moments: `(N,)`, any numbers, the same for samples of one moment.
        stretches: `(N,)`, likewise of the stretch that a moment is in.

    Returns:
        True, too, where there are fewer than `STRETCHES`: then they may well be.
    """
    _, moment = np.unique(moments, return_inverse=True)
    _, stretch = np.unique(stretches, return_inverse=True)
    if stretch.max() + 1 < STRETCHES:
        return True
    counts = np.bincount(moment)
    of_moment = np.zeros(len(counts), int)
    of_moment[moment] = stretch
    pairs = np.bincount(of_moment, counts * (counts - 1) / 2)
    for values in (signal, _ranks(signal)):
        excess = _excess(values, classes)
        sums, squares = np.bincount(moment, excess), np.bincount(moment, excess**2)
        products = np.bincount(of_moment, (sums**2 - squares) / 2)
        mean = products.sum() / pairs.sum()
        n = len(pairs)
        error = np.sqrt(n / (n - 1) * ((products - mean * pairs) ** 2).sum()) / pairs.sum()
        if mean > 2 * error:
            return True
    return False


def _excess(signal: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """What it is beyond the mean of its class."""
    means = np.bincount(classes, signal) / np.maximum(1, np.bincount(classes))
    return signal - means[classes]


def _length(
    signal: np.ndarray, classes: np.ndarray, streams: np.ndarray, at: np.ndarray
) -> float | None:
    """As of `block_length`, of one signal; arguments by stream, and there by time."""
    excess = _excess(signal, classes)
    starts = np.flatnonzero(np.append(True, streams[1:] != streams[:-1]))
    counts = np.diff(np.append(starts, len(streams)))
    for start, count in zip(starts, counts, strict=True):
        if count >= LEAST:
            excess[start : start + count] -= _drift(excess[start : start + count])
    variance = np.mean(excess**2)
    farthest = np.maximum(1, np.repeat(counts, counts) // FARTHEST)
    products, distances = [], []
    apart = 1
    while True:
        pairs = np.flatnonzero((streams[apart:] == streams[:-apart]) & (farthest[apart:] >= apart))
        if len(pairs) < PAIRS:
            break
        products.append(excess[pairs] * excess[pairs + apart])
        distances.append(at[pairs + apart] - at[pairs])
        apart *= 2
    if not products or variance < 1e-12:
        return None
    return 2 * _reach(np.concatenate(products) / variance, np.concatenate(distances))


def _ranks(values: np.ndarray) -> np.ndarray:
    """From 0 to 1; what is equal has one."""
    from scipy.stats import rankdata

    return rankdata(values) / len(values)


def _reach(products: np.ndarray, distances: np.ndarray) -> float:
    """The distance, a power of two, from which on products are 0 on average."""
    order = np.argsort(distances)
    products, distances = products[order], distances[order]
    powers = np.floor(np.log2(np.maximum(distances, 1e-9)))
    reach, start = 0.0, 0
    for end in [*(np.flatnonzero(np.diff(powers)) + 1), len(powers)]:
        if end - start < PAIRS:  # they count with those that are farther apart
            continue
        if products[start:end].mean() <= 2 / np.sqrt(end - start):
            break
        reach, start = float(2 ** (powers[end - 1] + 1)), end
    return reach


def _drift(values: np.ndarray, parts: int = 4) -> np.ndarray:
    """A line through `values` that bends between `parts`."""
    place = np.linspace(0, parts, len(values))[:, None] - np.arange(parts + 1)
    hats = np.maximum(0, 1 - np.abs(place))
    return hats @ np.linalg.lstsq(hats, values, rcond=None)[0]


def stream_number(stream: str) -> int:
    """A number of 64 bits for a stream's name; 0 for none."""
    if not stream:
        return 0
    digest = hashlib.blake2b(stream.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little", signed=True)


def block_numbers(streams: np.ndarray, at: np.ndarray, length: float) -> np.ndarray:
    """The block of each sample, `(N,)` int64: its stream and stretch of time, scrambled.

    Args:
        streams: `(N,)` int64.
        length: more than 0.
    """
    stretch = np.floor(at / length).astype(np.int64).view(np.uint64)
    odd = np.uint64(0x9E3779B97F4A7C15)  # wraps, so that streams and stretches do not meet
    return (streams.astype(np.int64).view(np.uint64) * odd + stretch).view(np.int64)
