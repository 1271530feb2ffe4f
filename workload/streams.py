"""Streams: which class, and which item, each request is of.

- `iid`: as the data are, in random order;
- `locality`: `classes` are present at a time, requests drawn evenly among them; each stays for a
  geometric number of requests with mean `mean_stay`, then another takes its place;
- `shift`: `classes`, and after the request number `at` as many others;
- `return`: `classes`, for the middle third others, and then the first again;
- `foreign`: `classes`, and after `at` images of noise, which no class is like.

All are seeded. No item is sent twice: where those of a class run out, they go round again, varied.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

NOISE = -1
"""In place of a class: an image of noise."""


class StreamError(ValueError):
    """A stream that there is not, or that cannot be as it was asked for."""


def iid(count: int, shares: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return rng.choice(len(shares), count, p=shares)


def locality(
    count: int,
    shares: np.ndarray,
    rng: np.random.Generator,
    classes: int = 3,
    mean_stay: int = 2000,
) -> np.ndarray:
    # one more, or none could take the place of one that leaves
    present = _some(len(shares), classes + 1, rng)[:classes]
    leaves = rng.geometric(1 / mean_stay, classes)
    stream = np.empty(count, int)
    for i in range(count):
        for place in np.flatnonzero(leaves <= i):
            present[place] = rng.choice(np.setdiff1d(np.arange(len(shares)), present))
            leaves[place] = i + rng.geometric(1 / mean_stay)
        stream[i] = present[rng.integers(classes)]
    return stream


def shift(
    count: int, shares: np.ndarray, rng: np.random.Generator, classes: int = 3, at: int = 0
) -> np.ndarray:
    both = _some(len(shares), 2 * classes, rng)
    before, after = both[:classes], both[classes:]
    at = _change(at, count)
    return np.concatenate([rng.choice(before, at), rng.choice(after, count - at)])


def there_and_back(
    count: int, shares: np.ndarray, rng: np.random.Generator, classes: int = 3
) -> np.ndarray:
    both = _some(len(shares), 2 * classes, rng)
    parts = np.array_split(np.arange(count), 3)
    mixes = both[:classes], both[classes:], both[:classes]
    return np.concatenate([rng.choice(m, len(p)) for m, p in zip(mixes, parts, strict=True)])


def foreign(
    count: int, shares: np.ndarray, rng: np.random.Generator, classes: int = 3, at: int = 0
) -> np.ndarray:
    at = _change(at, count)
    known = rng.choice(_some(len(shares), classes, rng), at)
    return np.concatenate([known, np.full(count - at, NOISE)])


STREAMS: dict[str, Callable[..., np.ndarray]] = {
    "iid": iid,
    "locality": locality,
    "shift": shift,
    "return": there_and_back,
    "foreign": foreign,
}


@dataclass(frozen=True)
class Stream:
    """Requests in order.

    Attributes:
        items: index of each request's image, `(n,)`; -1 is noise.
        rounds: how often that image has been sent before, `(n,)`; those are sent varied. For noise
            the request's number, so that no two are alike.
    """

    items: np.ndarray
    rounds: np.ndarray

    @property
    def varied(self) -> int:
        return int(((self.rounds > 0) & (self.items != NOISE)).sum())


def make(text: str, count: int, labels: np.ndarray, seed: int) -> Stream:
    """The stream that `text` names, such as `locality:classes=3,mean_stay=2000`.

    Args:
        labels: the class of each image, `(N,)`.

    Raises:
        StreamError: there is none such.
    """
    name, _, rest = text.partition(":")
    if name not in STREAMS:
        raise StreamError(f"stream {name!r} is none of {', '.join(STREAMS)}")
    kind, parameters = STREAMS[name], {}
    known = list(inspect.signature(kind).parameters)[3:]
    for part in filter(None, rest.split(",")):
        key, _, value = part.partition("=")
        if key not in known or not value.isdigit() or not int(value):
            raise StreamError(
                f"stream {name}: {part!r} should be <name>=<number>, the name one of "
                f"{', '.join(known) or 'none'}, the number a whole one above 0"
            )
        parameters[key] = int(value)
    rng = np.random.default_rng(seed)
    counts = np.bincount(labels)
    classes = kind(count, counts / counts.sum(), rng, **parameters)
    items, rounds = np.full(count, NOISE), np.arange(count)
    for class_id in range(len(counts)):
        places = np.flatnonzero(classes == class_id)
        if not len(places):
            continue
        pool = rng.permutation(np.flatnonzero(labels == class_id))
        if not len(pool):
            raise StreamError(f"stream {name}: the data have no image of class {class_id}")
        items[places] = pool[np.arange(len(places)) % len(pool)]
        rounds[places] = np.arange(len(places)) // len(pool)
    return Stream(items, rounds)


def _some(classes: int, count: int, rng: np.random.Generator) -> np.ndarray:
    if count >= classes + 1 or count < 1:
        raise StreamError(f"the stream needs {count} classes; the data have {classes}")
    return rng.permutation(classes)[:count]


def _change(at: int, count: int) -> int:
    if at >= count:
        raise StreamError(f"at={at} is not before the last of {count} requests")
    return at or count // 2


def picture(images: np.ndarray, item: int, round_: int) -> np.ndarray:
    """The image to send: the item itself, a variation of it, or noise; `(h, w, C)` uint8."""
    rng = np.random.default_rng([round_, item + 1])
    if item == NOISE:
        return rng.integers(0, 256, images.shape[1:], np.uint8)
    return vary(images[item], rng) if round_ else images[item]


def vary(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Shifted by up to 7 % of its side, turned by up to 8 degrees, 10 % brighter or darker."""
    import torch  # here, because `--help` need not wait two seconds for it
    from torchvision.transforms.v2 import functional as F

    tensor = torch.from_numpy(image.transpose(2, 0, 1).copy())
    by = 0.07 * image.shape[0] * rng.uniform(-1, 1, 2)
    tensor = F.affine(
        tensor, rng.uniform(-8, 8), by.tolist(), 1.0, [0.0], F.InterpolationMode.BILINEAR
    )
    tensor = F.adjust_brightness(tensor, rng.uniform(0.9, 1.1))
    return tensor.permute(1, 2, 0).contiguous().numpy()


def reuse_distances(classes: np.ndarray) -> np.ndarray:
    """Requests since the last one of the same class, of all that have one."""
    last: dict[int, int] = {}
    found = []
    for i, class_id in enumerate(classes.tolist()):
        if class_id in last:
            found.append(i - last[class_id])
        last[class_id] = i
    return np.array(found)


def window_entropy(classes: np.ndarray, window: int = 200) -> float:
    """Mean entropy in bits of the class within a window."""
    found = []
    for start in range(0, len(classes) - window + 1, window):
        share = np.bincount(classes[start : start + window] + 1) / window
        share = share[share > 0]
        found.append(-(share * np.log2(share)).sum())
    return float(np.mean(found)) if found else float("nan")
