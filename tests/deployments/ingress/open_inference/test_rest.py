"""The Open Inference Protocol: what is wrong is named, with what it may be."""

import json

import numpy as np
import pytest

from cache_models.cascade import Answers
from cache_models.network.description import ModelDescription
from cache_models.network.preprocessing import Preprocessing
from deployments.config import HttpLimits
from deployments.ingress.errors import RequestError
from deployments.ingress.open_inference import rest, schema
from deployments.ingress.open_inference.messages import InferRequest, InferResponse, use_caches
from deployments.ingress.open_inference.metadata import metadata
from deployments.ingress.open_inference.rest import MOST_WHOLE_BYTES
from deployments.ingress.open_inference.tensors import Signature

IMAGES = ModelDescription((3, 4, 4), ("cat", "dog"), Preprocessing((4, 4)))
TENSORS = ModelDescription((2,), ("cat", "dog"))


def body(name="image", shape=(1, 1, 2, 1), datatype="UINT8", data=(1, 2), **more) -> bytes:
    given = {"name": name, "shape": shape, "datatype": datatype, "data": data}
    return json.dumps({"inputs": [given], **more}).encode()


def parse(
    content: bytes, description: ModelDescription, max_rows: int = 8, length: str | None = None
) -> tuple[InferRequest, np.ndarray]:
    limits = HttpLimits(max_batch_rows=max_rows)
    request = rest.parse(*rest.split(content, length), Signature(description, limits))
    return request, request.batch


@pytest.mark.parametrize("data", [[1, 2], [[[[1], [2]]]]])
def test_tensors_may_be_flat_or_nested(data):
    _, batch = parse(body(data=data), IMAGES, max_rows=8)
    assert batch.tolist() == [[[[1], [2]]]]
    assert batch.dtype == np.uint8


def test_floats_go_to_the_base_dnn_as_they_are():
    _, batch = parse(body("input", [1, 2], "FP32", [0.5, 1]), TENSORS, max_rows=8)
    assert batch.dtype == np.float32
    assert batch.tolist() == [[0.5, 1.0]]


@pytest.mark.parametrize(
    ("content", "status", "message"),
    [
        (b"{", 400, "Invalid JSON"),
        (b"[]", 400, "the body: "),
        (b'{"inputs": 3}', 400, "inputs: Input should be a valid array; got 3"),
        (b'{"inputs": []}', 400, "inputs: .*at least 1 item"),
        (b'{"inputs": [{"name": "image"}]}', 400, r"inputs\.0\.shape: Field required"),
        (body(name="x"), 422, "'x'; it may be image or input"),
        (body(datatype="FP64"), 422, "'FP64'; for 'image' it is 'UINT8'"),
        (body(shape=[2]), 422, r"\[2\]; for 'image' it may be \[-1, -1, -1, 3\]"),
        (body(shape=[1, 1, 1, 2]), 422, "1 channel"),
        (body(shape=[0, 1, 1, 1], data=[]), 422, "any number from 1"),
        (body(shape=[1, -1, -2, 1]), 422, "any number from 1"),
        (body(shape=[9, 1, 1, 1], data=[0] * 9), 413, "9 rows, more than 8"),
        (body(data=[1, 2, 3]), 422, r"the shape \[3\].*flat with 2 values"),
        (body(data=[[1, 2], [3]]), 422, "unequal length"),
        (body(data=[1, "2"]), 422, "must hold numbers"),
        (body(data=[1, None]), 422, "must hold numbers"),
        (body(data=[1, True]), 422, "must hold numbers"),
        (body(data=[1, 256]), 422, "0 to 255"),
        (body(data=[1, 1.5]), 422, "0 to 255"),
        (body("input", [1, 3, 4, 4], "FP32", [float("nan")] * 48), 422, "finite"),
        (body("input", [1, 3, 4, 4], "FP32", [float("inf")] * 48), 422, "finite"),
        (body("input", [1, 3, 4, 4], "FP32", [1e39] * 48), 422, "finite"),
        (
            body(outputs=[{"name": "score"}]),
            422,
            r"'score'; there are \['probabilities', 'label'\]",
        ),
    ],
)
def test_a_wrong_request_is_named(content, status, message):
    with pytest.raises(RequestError, match=message) as caught:
        parse(content, IMAGES, max_rows=8)
    assert caught.value.status == status


def test_the_parameter_cache_is_on_or_off():
    assert use_caches(parse(body(), IMAGES, 8)[0].parameters)
    assert not use_caches(parse(body(parameters={"cache": "off"}), IMAGES, 8)[0].parameters)
    with pytest.raises(RequestError, match=r"parameters\.cache is 3; it may be 'on' or 'off'"):
        use_caches(parse(body(parameters={"cache": 3}), IMAGES, 8)[0].parameters)


def test_the_response_holds_the_outputs_asked_for_and_every_rows_exit():
    request, _ = parse(body(id="7", outputs=[{"name": "label"}]), IMAGES, 8)
    answers = Answers(np.array([1, 0]), np.array([[0.1, 0.9], [0.8, 0.2]]), ["layer1.0", "base"], 4)
    parameters = {"exits": "layer1.0,base", "cache_version": 4}
    response = InferResponse(
        request.id, "pets", "1", parameters, request.outputs, answers, IMAGES.classes
    )
    assert json.loads(rest.write(response).body) == {
        "model_name": "pets",
        "model_version": "1",
        "id": "7",
        "parameters": {"exits": "layer1.0,base", "cache_version": 4},
        "outputs": [{"name": "label", "datatype": "BYTES", "shape": [2], "data": ["dog", "cat"]}],
    }


def test_a_model_without_preprocessing_takes_tensors_only():
    assert [i.name for i in metadata("m", IMAGES, HttpLimits()).inputs] == ["image", "input"]
    assert [i.name for i in metadata("m", TENSORS, HttpLimits()).inputs] == ["input"]
    with pytest.raises(RequestError, match="it may be input"):
        parse(body(), TENSORS, 8)


def test_numbers_may_come_after_all_else_or_under_another_key_first():
    tensor = b'"name": "input", "shape": [1, 2], "datatype": "FP32"'
    for content in (
        b'{"inputs": [{"data": [0.5, 1], %b}]}' % tensor,
        b'{"parameters": {"data": [3]}, "inputs": [{%b, "data": [0.5, 1]}]}' % tensor,
        b'{"id": "\\"data\\": [3]", "inputs": [{%b, "data": [[0.5, 1]]}]}' % tensor,
        b'{"inputs": [{%b, "data" : [ 0.5,\n1 ] }]}' % tensor,
    ):
        assert parse(content, TENSORS, 8)[1].tolist() == [[0.5, 1.0]]


def test_whole_numbers_of_64_bits_are_floats_like_others():
    _, batch = parse(body("input", [1, 2], "FP32", [2**63, 1]), TENSORS, 8)
    assert batch.tolist() == [[2.0**63, 1.0]]


@pytest.mark.parametrize(
    ("change", "status", "message"),
    [
        (lambda text: text.replace(b" 0,", b' "0",', 1), 422, "besides the numbers of a tensor"),
        (lambda text: text.replace(b" 0,", b" [0],", 1), 422, "must hold numbers.*as bytes after"),
        (lambda text: text.replace(b'"UINT8"', b"8"), 400, r"inputs\.0\.datatype.*string; got 8"),
        (lambda text: text[:-1], 400, "Invalid JSON"),
    ],
)
def test_long_json_is_not_read_as_a_whole_to_name_what_is_wrong(
    monkeypatch, change, status, message
):
    longest = 0

    def validated(text, read=schema.InferRequest.model_validate_json):
        nonlocal longest
        longest = max(longest, len(text))
        return read(text)

    monkeypatch.setattr(schema.InferRequest, "model_validate_json", validated)
    text = body(shape=[8, 300, 300, 1], data=[0] * 720_000)
    assert len(text) > 2 * MOST_WHOLE_BYTES
    with pytest.raises(RequestError, match=message) as caught:
        parse(change(text), IMAGES)
    assert caught.value.status == status
    assert longest < 1_000
    assert parse(text, IMAGES)[1].shape == (8, 300, 300, 1)
