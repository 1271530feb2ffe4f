"""Learn what the recent past of a stream is worth: a `Recall`, from recorded sequences.

The space in which entries lie, and how nearness and age count, are learned by gradient, with the
entries that serving would have had: only requests that the base DNN answered leave one, so of each
stream's past a random share is kept, from a twentieth to all. How far the result is to be trusted
is learned on the selection samples, walked through as served: first with random shares, then
with what the selector itself would have let through.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cache_models.cache.closed_loop import Heard, walk
from cache_models.cache.learned_cache import LearnedCache, RecallWeights
from cache_models.cache.recall import (
    DIRECTIONS,
    ENTRIES,
    MOST,
    TERMS,
    Entries,
    terms,
)
from cache_models.cache.training import scores_of
from cache_models.network.recorded import rows_in_batches

STEPS, BATCH, RATE, LOOK = 300, 256, 3e-3, 50
LEAST_KEPT = 0.05
NEAREST = 32
"""Before a request, of which some are in a shared memory, as it is served."""
LEAST_ROWS = 200
"""Samples with a past, of either part, from which anything is learned."""
HEARD_AT = 1 / (1 + np.exp(-np.linspace(6.0, 0.0, 7)))
"""Thresholds at which selectors hear what they would let through."""
PENALTY = 1e-2
NEAR, LEAST_NEAR = 0.5, 1e-6
"""An input is not novel where an entry is as near as the nearest is to this share of the selection
samples that are answered rightly; and the least such squared distance."""


def fit_recall(
    cache: LearnedCache,
    features: np.ndarray,
    answers: np.ndarray,
    streams: np.ndarray,
    at: np.ndarray,
    train: np.ndarray,
    select: np.ndarray,
    seed: int = 0,
    kept: int = ENTRIES,
    rest: Callable[[], None] = lambda: None,
) -> RecallWeights | None:
    """Weights of a `Recall` for `cache`; None where the streams have hardly any past.

    Args:
        features: `(N, *feature_shape)` float16.
        answers: the base DNN's labels, `(N,)`.
        streams, at: of which stream each sample is, `(N,)` int64, below 0 for none, and when it
            came, in seconds.
        train, select: disjoint indices into the samples.
        kept: entries of a stream; of more than speak, the nearest do.
        rest: called after every small piece of work.
    """
    rng = np.random.default_rng(seed)
    parts = [_Part.of(cache, features, answers, streams, at, rows) for rows in (train, select)]
    if min(len(part.followers) for part in parts) < LEAST_ROWS:
        return None
    torch.manual_seed(seed)
    model = _Votes(parts[0].x)
    if kept > ENTRIES:
        for part in parts:
            part.find_nearest(model.projection.detach())
    _learn(model, parts, rng, [model.projection, *model.factors], STEPS, rest)
    # predictors are too sure where they were taught
    _learn(model, parts[1:], rng, list(model.factors), STEPS // 2, rest)
    found = RecallWeights(parts[0].x.shape[1], len(model.projection.T))
    for name, value in model.learned().items():
        getattr(found, name).copy_(value)
    _fit_selector(found, parts[1], model, rng, kept, rest)
    return found


class _Part:
    """Samples in the order of their streams and times.

    Attributes:
        x: standardised features, `(n, D)` float16.
        log_p: the predictor's, `(n, K)`.
        place: of each in its stream, from 0.
        followers: those that are not their stream's first.
        nearest: of each those before it on its stream that are nearest, `(n, NEAREST)`, the nearest
            first, itself where there are no more; None where the newest speak.
    """

    def __init__(self, x, log_p, answers, streams, at):
        self.x, self.log_p, self.answers, self.streams, self.at = x, log_p, answers, streams, at
        first = np.append(True, streams[1:] != streams[:-1])
        starts = np.flatnonzero(first)
        self.place = np.arange(len(streams)) - np.repeat(
            starts, np.diff(np.append(starts, len(streams)))
        )
        self.followers = np.flatnonzero(self.place > 0)
        self.nearest: np.ndarray | None = None

    @classmethod
    def of(cls, cache, features, answers, streams, at, rows) -> "_Part":
        rows = rows[streams[rows] >= 0]
        rows = rows[np.lexsort((at[rows], streams[rows]))]
        with torch.inference_mode():
            batches = rows_in_batches(features, rows)
            x = torch.cat([cache.gate.standardised(batch).half() for batch in batches])
            log_p = scores_of(cache.predictor, features, rows).log_softmax(1)
        return cls(x, log_p, torch.from_numpy(answers[rows]), streams[rows], at[rows])

    def past(self, rows: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Of each row up to `ENTRIES` that came before it on its stream, the newest or the nearest,
        `(n, E)` indices, with random gaps; and which of them there are, `(n, E)` bool."""
        share = np.exp(rng.uniform(np.log(LEAST_KEPT), 0, (len(rows), 1)))
        if self.nearest is not None:
            near = self.nearest[rows]
            there = (rng.random(near.shape) < share) & (near != rows[:, None])
            first = np.argsort(~there, axis=1, kind="stable")[:, :ENTRIES]
            return np.take_along_axis(near, first, 1), np.take_along_axis(there, first, 1)
        back = rng.geometric(np.broadcast_to(share, (len(rows), ENTRIES))).cumsum(1)
        there = back <= self.place[rows][:, None]
        return np.where(there, rows[:, None] - back, rows[:, None]), there

    def find_nearest(self, projection: Tensor, block: int = 500) -> None:
        """In the space `x @ projection`."""
        vectors = torch.cat([part.float() @ projection for part in self.x.split(block)])
        self.nearest = np.tile(np.arange(len(vectors))[:, None], (1, NEAREST))
        for start in range(0, len(vectors), block):
            rows = np.arange(start, min(start + block, len(vectors)))
            squares = torch.cdist(vectors[rows], vectors[: rows[-1] + 1])
            back = rows[:, None] - np.arange(rows[-1] + 1)
            earlier = torch.from_numpy((back > 0) & (back <= self.place[rows][:, None]))
            squares[~earlier] = torch.inf
            found = squares.topk(min(NEAREST, squares.shape[1]), largest=False)
            near = np.where(found.values.isfinite(), found.indices, rows[:, None])
            self.nearest[rows, : near.shape[1]] = near


class _Votes(nn.Module):
    """`Recall`'s scores, to learn from; its factors are logarithms, so that they stay positive."""

    def __init__(self, x: Tensor):
        super().__init__()
        values = x[torch.randperm(len(x))[:4_000]].float()
        _, strengths, axes = torch.pca_lowrank(values, min(DIRECTIONS, *values.shape))
        spread = (strengths / len(values) ** 0.5).clamp(min=1e-3)
        self.projection = nn.Parameter(axes / spread / axes.shape[1] ** 0.5)
        self.factors = nn.ParameterList(
            torch.tensor(value).log() for value in (0.7, 20.0, 2.0, 0.1)
        )

    def learned(self) -> dict[str, Tensor]:
        names = ("trust", "weight", "nearness", "staleness")
        made = {n: factor.detach().exp() for n, factor in zip(names, self.factors, strict=True)}
        return {"projection": self.projection.detach()} | made

    def forward(self, part: _Part, rows: np.ndarray, past: np.ndarray, there: np.ndarray) -> Tensor:
        """Scores `(n, K)`."""
        trust, weight, nearness, staleness = (factor.exp() for factor in self.factors)
        mine = part.x[rows].float() @ self.projection
        theirs = part.x[past.ravel()].float() @ self.projection
        squares = (theirs.view(*past.shape, -1) - mine[:, None]).square().sum(-1)
        ages = torch.from_numpy(np.maximum(part.at[rows][:, None] - part.at[past], 0)).float()
        votes = torch.exp(-nearness * squares - staleness * ages.log1p())
        votes = votes * torch.from_numpy(there)
        by_class = torch.zeros(len(rows), part.log_p.shape[1])
        by_class = by_class.scatter_add(1, part.answers[past.ravel()].view(past.shape), votes)
        return trust * part.log_p[rows] + torch.log1p(weight * by_class)


def _learn(
    model: _Votes,
    parts: Sequence[_Part],
    rng: np.random.Generator,
    learned: Sequence[nn.Parameter],
    steps: int,
    rest: Callable[[], None],
) -> None:
    """Adam on the first part; the state that does best on the last is kept."""
    on, judge = parts[0], parts[-1]
    judged = judge.followers[:: max(1, len(judge.followers) // 2_000)]
    fixed = judge.past(judged, np.random.default_rng(0))

    def loss(part: _Part, rows: np.ndarray, past: np.ndarray, there: np.ndarray) -> Tensor:
        return F.cross_entropy(model(part, rows, past, there), part.answers[rows])

    optimizer = torch.optim.Adam(learned, RATE if len(parts) > 1 else 10 * RATE)
    best, state = np.inf, {}
    for step in range(steps + 1):
        if step % LOOK == 0:
            with torch.no_grad():
                found = loss(judge, judged, *fixed).item()
            if found < best:
                best = found
                state = {name: value.clone() for name, value in model.state_dict().items()}
        rows = rng.choice(on.followers, min(BATCH, len(on.followers)), replace=False)
        optimizer.zero_grad()
        loss(on, rows, *on.past(rows, rng)).backward()
        optimizer.step()
        rest()
    model.load_state_dict(state)


def _fit_selector(
    found: RecallWeights,
    part: _Part,
    model: _Votes,
    rng: np.random.Generator,
    kept: int,
    rest: Callable[[], None],
) -> None:
    with torch.no_grad():
        vectors = (part.x.float() @ model.projection).numpy()
    log_p, answers = part.log_p.numpy(), part.answers.numpy()
    recall = found.recall()
    heard, agree, near = [], [], []
    for _ in range(4):
        rows = part.followers
        past, there = part.past(rows, rng)
        at = np.where(there, part.at[past], -np.inf)
        entries = Entries(vectors[past], answers[past], at)
        recalled = recall.recalled(log_p[rows], vectors[rows], entries, part.at[rows])
        heard.append(terms(recalled.statistics)[recalled.any])
        agree.append((recalled.log_q.argmax(1) == answers[rows])[recalled.any])
        near.append(recalled.nearest[recalled.any][agree[-1]])
    found.near.fill_(max(LEAST_NEAR, float(np.quantile(np.concatenate(near), NEAR))))
    for _ in range(2):
        _logistic(found, np.concatenate(heard), np.concatenate(agree))
        recall = replace(found.recall(), stake=1.0)
        walked = walk(
            [Heard(log_p, np.zeros(len(answers)), vectors, recall, kept=kept)],
            answers,
            part.streams,
            part.at,
            HEARD_AT,
            keep_statistics=True,
            rest=rest,
        )
        heard.append(terms(walked.statistics))
        agree.append(walked.agrees)
    _logistic(found, np.concatenate(heard), np.concatenate(agree))


def _logistic(found: RecallWeights, x: np.ndarray, agrees: np.ndarray) -> None:
    """Logistic regression, by L-BFGS, with an L2 penalty."""
    values = torch.from_numpy(x).float()
    found.mean.copy_(values.mean(0))
    found.scale.copy_(1 / (values.std(0) + 1e-6))
    values = ((values - found.mean) * found.scale).clamp(-MOST, MOST)
    target = torch.from_numpy(agrees).float()
    linear = nn.Linear(TERMS, 1)
    nn.init.zeros_(linear.weight)
    optimizer = torch.optim.LBFGS(linear.parameters(), max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = F.binary_cross_entropy_with_logits(linear(values).squeeze(1), target)
        value = value + PENALTY * linear.weight.square().sum()
        value.backward()
        return value

    optimizer.step(loss)
    found.linear.copy_(linear.weight.detach().squeeze(0))
    found.bias.copy_(linear.bias.detach().squeeze(0))
