"""A ViT and a BERT of transformers, unmodified, are served and asked."""

import httpx
import numpy as np
import pytest
import torch

from cache_models.network.base_dnn import load
from cache_models.zoo.hugging_face import TEXT_INPUTS
from tests.e2e.conftest import cold_application
from workload.client.protocols import png

pytest.importorskip("transformers")
pytestmark = pytest.mark.filterwarnings("ignore")


def answers(base, inputs) -> np.ndarray:
    with torch.inference_mode():
        return base.module(inputs).argmax(1).numpy()


def test_a_vit_classifies_pictures(server, tmp_path):
    base = load("cache_models.zoo.hugging_face:vit")
    pictures = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3), np.uint8)
    with server.application(cold_application("cache_models.zoo.hugging_face:vit", tmp_path)) as url:
        given = [
            httpx.post(f"{url}/predict", content=png(picture), timeout=60).json()["class_id"]
            for picture in pictures
        ]
    assert np.array_equal(given, answers(base, base.inputs(pictures)))


def test_a_bert_takes_ids_and_mask(server, tmp_path):
    base = load("cache_models.zoo.hugging_face:bert")
    inputs = base.examples(4)
    tensors = [
        {
            "name": name,
            "shape": [4, 16],
            "datatype": "INT64",
            "data": inputs[:, i].long().flatten().tolist(),
        }
        for i, name in enumerate(TEXT_INPUTS)
    ]
    with server.application(
        cold_application("cache_models.zoo.hugging_face:bert", tmp_path)
    ) as url:
        reply = httpx.post(f"{url}/v2/models/bert/infer", json={"inputs": tensors}, timeout=60)
    outputs = {output["name"]: output["data"] for output in reply.json()["outputs"]}
    probabilities = np.reshape(outputs["probabilities"], (4, 5))
    assert np.array_equal(probabilities.argmax(1), answers(base, inputs))
