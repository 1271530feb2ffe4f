"""A ViT and a BERT of transformers, unmodified: planned, exported, run as they are served."""

import json

import numpy as np
import pytest
import torch

from cache_models.build.cold_start import cold_start
from cache_models.errors import ModelReferenceError
from cache_models.network.base_dnn import load
from cache_models.network.cutting import cut
from cache_models.network.slice_engines import slice_engines
from cache_models.network.stages import INPUT
from cache_models.promise.promise import Limits
from cache_models.store.plan import HopCost
from cache_models.store.versions import Store
from cache_models.zoo.hugging_face import classifier, preprocessing_of

transformers = pytest.importorskip("transformers")
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.mark.parametrize("name", ["vit", "bert"])
def test_a_plan_is_made_and_its_graphs_answer_as_the_module(name, tmp_path):
    base, store = load(f"cache_models.zoo.hugging_face:{name}"), Store(tmp_path)
    plan = cold_start(base, store, Limits(), HopCost()).plan
    assert plan.cut_points
    assert (INPUT in plan.cut_points) == (name == "vit")
    engines = slice_engines(base, cut(base), plan.cut_points, choice="onnxruntime")
    inputs = base.examples(3)
    activation = inputs.numpy()
    for engine in engines:
        if engine is not None:
            first, activation = engine(activation)
    with torch.inference_mode():
        scores = base.module(inputs)
    assert np.array_equal(first, scores.argmax(1))
    np.testing.assert_allclose(activation, scores.softmax(1), atol=1e-4)


def test_a_saved_model_is_read_with_its_preprocessing(tmp_path):
    module = load("cache_models.zoo.hugging_face:vit").module.module
    module.save_pretrained(tmp_path)
    transformers.ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(tmp_path)
    again, description = classifier(tmp_path)
    assert description.input_shape == (3, 32, 32)
    assert description.preprocessing.mean == (0.5, 0.5, 0.5)
    assert all(
        torch.equal(value, again.state_dict()[name]) for name, value in module.state_dict().items()
    )


def test_preprocessors_are_read_or_refused():
    config = {
        "image_mean": [0.5],
        "image_std": [0.5],
        "resample": 3,
        "do_center_crop": True,
        "size": {"shortest_edge": 256},
        "crop_size": {"height": 224, "width": 224},
    }
    read = preprocessing_of(json.loads(json.dumps(config)))
    assert (read.crop_size, read.resize_size, read.interpolation) == ((224, 224), 256, "bicubic")
    with pytest.raises(ModelReferenceError, match="many shapes"):
        preprocessing_of(config | {"do_center_crop": False})
