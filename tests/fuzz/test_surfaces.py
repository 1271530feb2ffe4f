"""A short version of the fuzzing that `python -m tests.fuzz` does at length."""

import os
import random

import pytest

from tests.fuzz.surfaces import SURFACES, surface

COUNT = int(os.environ.get("GATI_FUZZ", "300"))


def changed(draw: random.Random, seeds: list[bytes]) -> bytes:
    """A seed of which something is altered, missing, twice, or another's."""
    data = bytearray(draw.choice(seeds))
    for _ in range(draw.randint(0, 4)):
        start, end = sorted(draw.randint(0, len(data)) for _ in range(2))
        match draw.randint(0, 5):
            case 0 if data:
                data[draw.randrange(len(data))] = draw.choice(
                    [0, 1, 127, 128, 255, draw.getrandbits(8)]
                )
            case 1 if data:
                data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
            case 2:
                del data[start:end]
            case 3:
                data[start:start] = draw.randbytes(draw.randint(1, 8))
            case 4:
                data[start:start] = data[start:end] * draw.randint(1, 3)
            case _:
                data[start:] = draw.choice(seeds)[start:]
    return bytes(data)


@pytest.mark.parametrize("name", SURFACES)
def test_whatever_bytes_come_they_are_answered_or_refused(name):
    draw = random.Random(COUNT)
    with surface(name) as each:
        for seed in each.seeds:
            each.meet(seed)
        for i in range(COUNT):
            data = changed(draw, each.seeds)
            try:
                each.meet(data)
            except BaseException as error:
                raise AssertionError(f"input {i}, {data!r}") from error
