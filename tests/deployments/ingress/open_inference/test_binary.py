"""Tensors as bytes behind the JSON, both ways; nulls; every datatype that loses nothing."""

import json
import struct

import ml_dtypes
import numpy as np
import pytest

from cache_models.cascade import Answers
from cache_models.network.description import ModelDescription
from cache_models.network.preprocessing import Preprocessing
from deployments.config import HttpLimits
from deployments.ingress.errors import BodyTooLarge, RequestError
from deployments.ingress.inputs import Inputs
from deployments.ingress.open_inference import rest
from deployments.ingress.open_inference.messages import InferResponse
from deployments.ingress.open_inference.tensors import Signature
from tests.deployments.ingress.open_inference.test_rest import IMAGES, TENSORS, parse
from tests.deployments.ingress.test_endpoints import Client, FakeService

ANSWERS = Answers(
    np.array([1, 0]), np.array([[0.25, 0.75], [0.5, 0.5]], np.float32), ["a", "base"], 4
)


def message(values: np.ndarray, datatype: str, name: str = "input", **more) -> tuple[bytes, str]:
    """A body with a binary tensor, and the length of its JSON."""
    raw = values.tobytes()
    tensor = {"name": name, "shape": values.shape, "datatype": datatype}
    tensor["parameters"] = {"binary_data_size": len(raw)}
    head = json.dumps({"inputs": [tensor], **more}).encode()
    return head + raw, str(len(head))


@pytest.mark.parametrize(
    ("datatype", "dtype"),
    [
        ("BOOL", np.bool_),
        ("UINT8", np.uint8),
        ("UINT16", np.uint16),
        ("UINT32", np.uint32),
        ("UINT64", np.uint64),
        ("INT8", np.int8),
        ("INT16", np.int16),
        ("INT32", np.int32),
        ("INT64", np.int64),
        ("FP16", np.float16),
        ("BF16", ml_dtypes.bfloat16),
        ("FP32", np.float32),
        ("FP64", np.float64),
    ],
)
def test_an_input_may_have_any_datatype_that_loses_nothing(datatype, dtype):
    values = np.array([[0, 1]], dtype)
    body, length = message(values, datatype)
    batch = parse(body, TENSORS, length=length)[1]
    assert batch.dtype == np.float32
    assert batch.tolist() == [[0, 1]]
    if datatype not in ("FP16", "BF16"):
        tensor = {"name": "input", "shape": [1, 2], "datatype": datatype, "data": values.tolist()}
        assert parse(json.dumps({"inputs": [tensor]}).encode(), TENSORS)[1].tolist() == [[0, 1]]


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "int32", "int64", "uint64"])
def test_pixels_may_be_integers_of_any_size(dtype):
    values = np.array([0, 127], dtype).reshape(1, 1, 2, 1)
    body, length = message(values, dtype.upper(), "image")
    batch = parse(body, IMAGES, length=length)[1]
    assert batch.dtype == np.uint8
    assert batch.ravel().tolist() == [0, 127]


@pytest.mark.parametrize(
    ("name", "values", "datatype", "told"),
    [
        ("input", np.array([[1.0, 0.1]]), "FP64", "holds 0.1; .*exactly; send FP32"),
        ("input", np.array([[1, 2**24 + 1]]), "INT64", "16777217.*exactly"),
        ("input", np.array([[1, -(2**63)]]), "INT64", "-9223372036854775808"),
        ("input", np.array([[1, 2**64 - 1]], np.uint64), "UINT64", "18446744073709551615"),
        ("input", np.array([[1, np.inf]], np.float16), "FP16", "finite"),
        ("input", np.array([[1, 1e39]]), "FP64", "FP32 cannot hold"),
        ("image", np.array([0, 256], np.int16), "INT16", "256; values may be .*from 0 to 255"),
        ("image", np.array([0, -1], np.int8), "INT8", "-1; values may be"),
        ("image", np.array([0, 1], np.float32), "FP32", "'UINT8', or another type of integers"),
        ("image", np.array([0, 1], np.bool_), "BOOL", "'UINT8', or another type of integers"),
        ("input", np.array([[1, 2]]), "BYTES", "'BYTES'; for 'input' it is 'FP32'"),
    ],
)
def test_what_would_be_lost_is_named(name, values, datatype, told):
    if name == "image":
        values = values.reshape(1, 1, 2, 1)
    body, length = message(values, datatype, name)
    with pytest.raises(RequestError, match=told) as refused:
        parse(body, IMAGES if name == "image" else TENSORS, length=length)
    assert refused.value.status == 422


def test_numbers_in_json_are_such_as_their_datatype_has():
    def ask(datatype, data):
        tensor = {"name": "input", "shape": [1, 2], "datatype": datatype, "data": data}
        return parse(json.dumps({"inputs": [tensor]}).encode(), TENSORS)[1].tolist()

    assert ask("FP32", [0.1, 1e-3]) == np.float32([[0.1, 1e-3]]).tolist()
    assert ask("BOOL", [True, False]) == [[1, 0]]
    for datatype, data, told in (
        ("INT8", [1, 128], "holds 128; .*INT8 values are whole numbers from -128 to 127"),
        ("INT64", [1, 0.5], "INT64 values are whole numbers"),
        ("INT64", [1, 2**70], "must hold numbers"),
        ("BOOL", [1, 0], "must hold true and false"),
        ("INT8", [True, False], "must hold numbers"),
        ("FP16", [1, 2], "FP16 comes as bytes after the JSON"),
        ("BF16", [1, 2], "BF16 comes as bytes after the JSON"),
    ):
        with pytest.raises(RequestError, match=told):
            ask(datatype, data)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda body, length: (body, None), "trailing characters"),
        (lambda body, length: (body, "x"), "header 'Inference-Header-Content-Length' is 'x'"),
        (lambda body, length: (body, ""), "is ''; it may be"),
        (lambda body, length: (body, "-1"), "is '-1'"),
        (lambda body, length: (body, "٣"), "it may be the length of the JSON"),
        (lambda body, length: (body, str(len(body) + 1)), "at most that of the body"),
        (lambda body, length: (body, "9" * 5_000), "at most that of the body"),
        (lambda body, length: (body, str(int(length) - 1)), "EOF|Invalid JSON"),
        (lambda body, length: (body + b"x", length), "is 8; 9 bytes follow"),
        (lambda body, length: (body[:-1], length), "is 8; 7 bytes follow"),
        (lambda body, length: (body.replace(b'e": 8', b'e":-8'), length), "is -8; 8 bytes follow"),
        (lambda body, length: (body.replace(b'e": 8', b'e":""'), length), "is '.*'; 8 bytes"),
        (lambda body, length: (body.replace(b'e": 8', b'e":{}'), length), "is {}; 8 bytes"),
        (lambda body, length: (body.replace(b"[1, 2]", b"[2, 2]"), length), "has 8 bytes; .* 16"),
        (lambda body, length: (body.replace(b"FP32", b"FP64"), length), "has 8 bytes; .* say 16"),
    ],
)
def test_bytes_that_do_not_fit_what_is_said_of_them_are_named(change, told):
    body, length = change(*message(np.float32([[1, 2]]), "FP32"))
    with pytest.raises(RequestError, match=told) as refused:
        parse(body, TENSORS, length=length)
    assert refused.value.status in (400, 422)


def test_values_stand_in_one_place():
    for parameters, data, told in (
        ({"binary_data_size": 8}, [1, 2], "has both data and parameters.binary_data_size"),
        ({}, None, "inputs.0.data: there is none; .*Inference-Header-Content-Length"),
        ({"shared_memory_region": "a"}, None, "in shared memory, which is not served"),
    ):
        tensor = {"name": "input", "shape": [1, 2], "datatype": "FP32"}
        tensor |= {"parameters": parameters, "data": data}
        with pytest.raises(RequestError, match=told):
            parse(json.dumps({"inputs": [tensor]}).encode(), TENSORS)


def test_null_is_as_absent():
    tensor = {"name": "input", "shape": [1, 2], "datatype": "FP32", "data": [1, 2]}
    body = {"id": None, "parameters": None, "outputs": None}
    body["inputs"] = [tensor | {"parameters": None}]
    request, batch = parse(json.dumps(body).encode(), TENSORS)
    assert batch.tolist() == [[1, 2]]
    assert (request.id, request.parameters) == ("", {})
    assert [output.name for output in request.outputs] == ["probabilities", "label"]
    raw = np.float32([[1, 2]]).tobytes()
    tensor |= {"parameters": {"binary_data_size": 8}, "data": None}
    head = json.dumps({"inputs": [tensor], "outputs": [{"name": "label", "parameters": None}]})
    assert parse(head.encode() + raw, TENSORS, length=str(len(head)))[1].tolist() == [[1, 2]]


def told(**more) -> tuple[dict, bytes, dict]:
    """The JSON of the response to a request with `more`, what follows, and its headers."""
    body, length = message(np.float32([[1, 2]]), "FP32", **more)
    request, _ = parse(body, TENSORS, length=length)
    response = InferResponse("7", "pets", "1", {}, request.outputs, ANSWERS, IMAGES.classes)
    written = rest.write(response)
    size = len(written.body) if written.json_bytes is None else written.json_bytes
    return json.loads(written.body[:size]), written.body[size:], dict(rest.headers(written))


def test_outputs_come_as_bytes_where_asked_for():
    head, rest_of_it, headers = told(parameters={"binary_data_output": True})
    first, second = head["outputs"]
    assert first == {
        "name": "probabilities",
        "datatype": "FP32",
        "shape": [2, 2],
        "parameters": {"binary_data_size": 16},
    }
    assert second["parameters"] == {"binary_data_size": 14}
    assert rest_of_it[:16] == ANSWERS.probabilities.tobytes()
    assert rest_of_it[16:] == struct.pack("<I3sI3s", 3, b"dog", 3, b"cat")
    assert headers["Content-Type"] == "application/octet-stream"
    assert int(headers[rest.LENGTH]) == len(json.dumps(head, separators=(",", ":")))


def test_an_outputs_own_parameter_counts_before_the_requests():
    asked = [{"name": "label"}, {"name": "probabilities", "parameters": {"binary_data": False}}]
    head, rest_of_it, _ = told(outputs=asked, parameters={"binary_data_output": True})
    assert [output["name"] for output in head["outputs"]] == ["label", "probabilities"]
    assert head["outputs"][1]["data"] == [0.25, 0.75, 0.5, 0.5]
    assert len(rest_of_it) == 14
    head, _, headers = told(outputs=asked)
    assert head["outputs"][0]["data"] == ["dog", "cat"]
    assert headers == {"Content-Type": "application/json"}


def test_the_most_probable_classes_are_told():
    asked = [{"name": "probabilities", "parameters": {"classification": 1}}]
    (output,) = told(outputs=asked)[0]["outputs"]
    assert (output["datatype"], output["shape"]) == ("BYTES", [2, 1])
    assert output["data"] == ["0.750000:1:dog", "0.500000:0:cat"]
    asked[0]["parameters"] |= {"classification": 9, "binary_data": True}
    head, rest_of_it, _ = told(outputs=asked)
    assert head["outputs"][0]["shape"] == [2, 2]
    assert rest_of_it.startswith(struct.pack("<I", 14) + b"0.750000:1:dog")


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ({"name": "label", "parameters": {"classification": 1}}, "for 'probabilities' alone"),
        ({"name": "probabilities", "parameters": {"classification": 0}}, "classes from 1"),
        ({"name": "probabilities", "parameters": {"classification": "1"}}, "a whole number"),
        ({"name": "probabilities", "parameters": {"classification": True}}, "a whole number"),
        ({"name": "label", "parameters": {"binary_data": 1}}, "may be true or false"),
        ({"name": "label", "parameters": {"shared_memory_region": "a"}}, "shared memory"),
    ],
)
def test_what_an_output_may_not_be_is_named(output, message):
    with pytest.raises(RequestError, match=message):
        told(outputs=[output])


def test_an_output_stands_there_once():
    with pytest.raises(RequestError, match="'label' stands there twice"):
        told(outputs=[{"name": "label"}, {"name": "label"}])


def test_a_tensor_counts_by_its_bytes_however_long_it_is_as_text():
    limits = HttpLimits(max_body_bytes=64)
    signature = Signature(TENSORS, limits)
    assert signature.check("input", "FP32", [8, 2]) == (8, 2)
    assert signature.check("input", "BF16", [16, 2]) == (16, 2)
    with pytest.raises(BodyTooLarge, match=r"72 bytes as FP32, more than 64; .*max_body_bytes"):
        signature.check("input", "FP32", [9, 2])
    text = json.dumps(np.random.default_rng(0).normal(size=(8, 2)).tolist(), indent=1)
    assert len(text) < limits.max_json_bytes


def test_four_float_pictures_are_within_the_limits_however_they_come():
    service = FakeService()
    service.description = ModelDescription((3, 224, 224), ("cat", "dog"), Preprocessing((224, 224)))
    service.inputs = Inputs(service.description, service.limits, service.workers)
    client, infer = Client(service), "/v2/models/pets/infer"
    values = np.random.default_rng(0).normal(size=(4, 3, 224, 224)).astype(np.float32)
    tensor = {"name": "input", "shape": values.shape, "datatype": "FP32"}
    as_text = client.post(infer, json={"inputs": [tensor | {"data": values.ravel().tolist()}]})
    body, length = message(values, "FP32")
    as_bytes = client.post(infer, content=body, headers={rest.LENGTH: length})
    for answer in (as_text, as_bytes):
        assert answer.status_code == 200, answer.text
        assert answer.json()["outputs"][0]["shape"] == [4, 2]
