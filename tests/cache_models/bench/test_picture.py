"""The picture of a plan can be drawn, whatever was explored and chosen."""

import pytest
from PIL import Image

from cache_models.bench.picture import draw
from cache_models.build.measurement import ExplorationRecord
from tests.plans import plan_for


def explored(name: str, depth: float) -> ExplorationRecord:
    return ExplorationRecord(
        cut_point=name,
        compute_share=depth,
        variant="pool-1",
        hit_rate=0.5,
        agreement=0.9,
        lookup_ms_batch_1=1.0,
        lookup_ms_batch_8=2.0,
        memory_bytes=1,
        training_s=1.0,
    )


@pytest.mark.parametrize("chosen", [[], ["layer1"]])
@pytest.mark.parametrize("candidates", [1, 12])
def test_a_plan_is_drawn_with_caches_and_without(chosen, candidates, tmp_path):
    plan = plan_for(chosen, width=4)
    plan.expected.exits.update({name: 0.5 for name in chosen} | {"base": 0.5})
    file = tmp_path / "plan.png"
    draw([explored(f"layer{i}", i / 20) for i in range(candidates)], plan, file)
    with Image.open(file) as image:
        assert image.format == "PNG"
