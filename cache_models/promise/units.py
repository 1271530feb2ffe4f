"""Units: the samples that a test may count, one of each block, all as likely to have come.

Samples of one *block* may be wrong together, as the frames that show one object or the rows of one
request are, and a sample that was less likely to be taken stands for more requests. An exact
binomial test counts independent draws, all alike; units are such draws.
"""

import numpy as np


def units(blocks: np.ndarray, weights: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The units among N samples: rows, ascending.

    Of every block one row is drawn in proportion to its weight, and stays with probability `W / m`,
    where `W` is the block's weight and `m` that of the heaviest block. Whichever row it is, it is a
    unit with probability `w / m`: the inverse of how likely it was to be taken, but for a constant.
    So units are, whatever the rate was at which they were sampled, an equal-probability sample of
    the requests, and no two are of one block: `P(wrong | unit) = E[sum w L] / E[sum w]`, sums over
    a block, `L` 1 where an answer is wrong. Where blocks are independent, the number of wrong units
    is a sum of independent draws of that mean. It is a binomial one where they are alike, and where
    they are not, its lower tail, which an exact test compares, is lighter still (Hoeffding 1956).
    The constant is the heaviest block's that came; heavier ones may yet come, of which no sample
    tells.

    Where every block is a single row and weights are equal, all rows are units.

    Args:
        blocks: `(N,)`, any numbers, the same within a block.
        weights: `(N,)`, positive: inverse inclusion probabilities.
    """
    if not len(blocks):
        return np.empty(0, int)
    _, block = np.unique(blocks, return_inverse=True)
    # the first of a race of exponential times is each with probability in proportion to its rate
    order = np.argsort(rng.exponential(size=len(blocks)) / weights)
    rows = order[np.unique(block[order], return_index=True)[1]]
    total = np.bincount(block, weights)
    return np.sort(rows[rng.random(len(rows)) * total.max() < total])


def units_by_class(
    answers: np.ndarray, blocks: np.ndarray, weights: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """The same of every class's samples by themselves, as if nothing else had come.

    Args:
        answers: the base DNN's labels, `(N,)`.
    """
    found = [np.empty(0, int)]
    for class_id in np.unique(answers):
        rows = np.flatnonzero(answers == class_id)
        found.append(rows[units(blocks[rows], weights[rows], rng)])
    return np.concatenate(found)
