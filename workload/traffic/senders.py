"""Streams of those who send: cameras, speakers and users, each with a key of its own.

- `cameras`: every crop of every video is a camera, which sends its frames at its own rate; all at a
  time, each beginning somewhere within its first interval between two frames, as cameras that know
  nothing of each other. `cameras` of them, by default all; only every `every`-th frame; `speed`
  times as fast as they were taken;
- `speakers`: `speakers` people, the r-th of whom speaks a share of the time as 1 / r^s. `at_once`
  of them are there; who has spoken a geometric number of times with mean `mean_visit` leaves, and
  another comes. Where the data know who speaks, each says clips of their own, else of `words`
  classes that are theirs;
- `users`: likewise, each with `topics` classes.
"""

from typing import NamedTuple

import numpy as np

from workload.errors import ParameterError
from workload.traffic.picking import of_groups, zipf_weights

ALL = np.iinfo(np.int64).max
"""As many requests as there are."""


class Sendings(NamedTuple):
    """Of n requests: items, rounds and keys, `(n,)`, and when they are due, if that is known."""

    items: np.ndarray
    rounds: np.ndarray
    keys: np.ndarray
    times_s: np.ndarray | None = None


def cameras(
    count: int,
    times_s: np.ndarray | None,
    sources: np.ndarray | None,
    rng: np.random.Generator,
    cameras: int = 0,
    every: int = 1,
    speed: float = 1.0,
) -> Sendings:
    """
    Args:
        count: of requests, or `ALL`.
        times_s, sources: of each frame of the data, `(N,)`.

    Raises:
        ParameterError: the data are no videos, or have too few frames or cameras.
    """
    if times_s is None or sources is None:
        raise ParameterError("stream cameras: the data are no video, and no folder of videos")
    there = int(sources.max()) + 1
    if cameras > there:
        raise ParameterError(f"stream cameras: cameras is {cameras}; the data have {there}")
    items, due_s = [], []
    for source in range(cameras or there):
        frames = np.flatnonzero(sources == source)[::every]
        interval_s = np.median(np.diff(times_s[frames])) if len(frames) > 1 else 0.0
        items.append(frames)
        due_s.append((times_s[frames] + rng.uniform(0, interval_s)) / speed)
    order = np.argsort(np.concatenate(due_s), kind="stable")
    if count != ALL and count > len(order):
        raise ParameterError(
            f"stream cameras: there are {len(order)} frames; ask for at most as many requests"
        )
    of, at_s = np.concatenate(items)[order][:count], np.concatenate(due_s)[order][:count]
    return Sendings(of, np.zeros(len(of), int), _keys("camera", sources[of]), at_s - at_s[0])


def speakers(
    count: int,
    labels: np.ndarray,
    sources: np.ndarray | None,
    rng: np.random.Generator,
    speakers: int = 20,
    words: int = 3,
    s: float = 1.0,
    mean_visit: int = 30,
    at_once: int = 2,
) -> Sendings:
    """
    Args:
        labels: of each item, `(N,)`.
        sources: who speaks in each, `(N,)`, where that is known.

    Raises:
        ParameterError: there are too few of something.
    """
    if sources is None:
        who = _visits(count, speakers, s, mean_visit, at_once, rng, "speakers")
        items, rounds = _of_their_own(who, labels, words, rng)
        return Sendings(items, rounds, _keys("speaker", who))
    known = rng.permutation(np.unique(sources))[:speakers]
    who = known[_visits(count, len(known), s, mean_visit, at_once, rng, "speakers")]
    return Sendings(*of_groups(who, sources, rng), _keys("speaker", who))


def users(
    count: int,
    labels: np.ndarray,
    rng: np.random.Generator,
    users: int = 100,
    topics: int = 2,
    s: float = 1.0,
    mean_visit: int = 10,
    at_once: int = 5,
) -> Sendings:
    """As `speakers` who are known by their words."""
    who = _visits(count, users, s, mean_visit, at_once, rng, "users")
    items, rounds = _of_their_own(who, labels, topics, rng)
    return Sendings(items, rounds, _keys("user", who))


def _visits(
    count: int,
    population: int,
    s: float,
    mean_visit: int,
    at_once: int,
    rng: np.random.Generator,
    what: str,
) -> np.ndarray:
    """Who sends each request, `(count,)`."""
    if at_once > population:
        raise ParameterError(f"stream {what}: at_once is {at_once}; there are {population}")
    weights = zipf_weights(population, s)
    present = rng.choice(population, at_once, replace=False, p=weights)
    left = rng.geometric(1 / mean_visit, at_once)
    places = rng.integers(at_once, size=count)
    who = np.empty(count, int)
    for i, place in enumerate(places.tolist()):
        who[i] = present[place]
        left[place] -= 1
        if not left[place]:
            others = np.delete(present, place)
            absent = np.setdiff1d(np.arange(population), others)
            present[place] = rng.choice(absent, p=weights[absent] / weights[absent].sum())
            left[place] = rng.geometric(1 / mean_visit)
    return who


def _of_their_own(
    who: np.ndarray, labels: np.ndarray, classes: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Items of so many classes of each, which are drawn by their shares in the data."""
    counts = np.bincount(labels)
    if classes > (there := np.count_nonzero(counts)):
        raise ParameterError(f"the stream needs {classes} classes; the data have {there}")
    wanted = np.empty(len(who), int)
    for each in range(int(who.max()) + 1):
        theirs = rng.choice(len(counts), classes, replace=False, p=counts / counts.sum())
        places = np.flatnonzero(who == each)
        wanted[places] = rng.choice(theirs, len(places))
    return of_groups(wanted, labels, rng)


def _keys(what: str, who: np.ndarray) -> np.ndarray:
    return np.array([f"{what}-{each}" for each in who.tolist()], dtype=object)
