"""Ten architectures each of timm and transformers, unmodified: each loads, is cut, slices give the
module's output bit by bit, and there are hidden layers worth a cache."""

import pytest
import torch

from cache_models.bench.libraries import make, names
from cache_models.build.survey import candidate_names
from cache_models.network.base_dnn import classifier
from cache_models.network.cutting import cut, run
from cache_models.network.stages import INPUT

NOWHERE = {
    "timm:crossvit_9_240": "two branches of different resolution run side by side to the end"
}
"""Architectures without a layer that one tensor crosses."""


@pytest.mark.parametrize("name", [*names("timm"), *names("transformers")])
@pytest.mark.filterwarnings("ignore")
def test_an_architecture_is_cut_as_it_is(name):
    pytest.importorskip(name.partition(":")[0])
    base = classifier(name, *make(name, small=True))
    model = cut(base)
    candidates = candidate_names(model)
    hidden = [candidate for candidate in candidates if candidate != INPUT]
    assert bool(hidden) != (name in NOWHERE), candidates
    for rows in (1, 3):
        inputs = base.examples(rows)
        with torch.inference_mode():
            whole = base.module(inputs)
            for subset in (candidates[1::2], [point.name for point in model.cut_points]):
                assert torch.equal(run(model.slices(subset), inputs), whole)
