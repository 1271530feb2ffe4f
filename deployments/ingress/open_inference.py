"""The Open Inference Protocol (KServe V2) over REST, with JSON tensors.

A model of images takes one of two inputs: `image`, decoded pixels as UINT8 `(B, h, w, C)` of any
size, or `input`, what the base DNN itself takes, as FP32 `(B, *input_shape)`. Other models take
only the latter.
"""

import uuid
from typing import Any

import numpy as np
from pydantic import BaseModel, Field, ValidationError
from pydantic_core import to_json

from cache_models.cascade import Answers
from cache_models.network.description import ModelDescription
from deployments.ingress import json_numbers
from deployments.ingress.errors import InvalidInput, RequestError
from deployments.ingress.tensors import as_array, check_tensor, checked

OUTPUTS = ("probabilities", "label")
APART = uuid.uuid4().hex
"""Stands for the numbers of a request that are read by themselves."""


class RequestInput(BaseModel):
    """One tensor, its values flat or nested as the shape says."""

    name: str = Field(examples=["image"])
    shape: list[int] = Field(examples=[[1, 2, 2, 1]])
    datatype: str = Field(examples=["UINT8"])
    data: list[Any] = Field(examples=[[0, 64, 128, 255]])


class RequestOutput(BaseModel):
    name: str


class InferRequest(BaseModel):
    """`parameters.cache` is `on` or `off`; `parameters.sequence_id`, a text or an integer, names
    the stream that the request belongs to."""

    id: str | None = None
    parameters: dict[str, Any] = {}
    inputs: list[RequestInput] = Field(min_length=1, max_length=1)
    outputs: list[RequestOutput] = []


class ResponseOutput(BaseModel):
    """`probabilities`, flat, or `label`."""

    name: str
    datatype: str
    shape: list[int]
    data: list[Any]


class InferResponse(BaseModel):
    """`parameters` hold each row's exit, joined by commas, and the cache version."""

    model_name: str
    model_version: str
    id: str
    parameters: dict[str, Any]
    outputs: list[ResponseOutput]


class MetadataTensor(BaseModel):
    name: str
    datatype: str
    shape: list[int]


class ModelMetadata(BaseModel):
    """Where there are two inputs, a request carries one of them; -1 is any number from 1."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[MetadataTensor]
    outputs: list[MetadataTensor]
    parameters: dict[str, Any]


def parse(
    body: bytes, description: ModelDescription, max_rows: int
) -> tuple[InferRequest, np.ndarray]:
    """The request and its batch: `(B, h, w, C)` uint8 images or `(B, *input_shape)` float32.

    The numbers, which are most of the body, are read by themselves. Where that fails, the request
    is read as a whole, which names what is wrong.

    Raises:
        RequestError: the body is not such a request; names the field, what it got and may be.
    """
    rest, numbers = _apart(body)
    try:
        request = InferRequest.model_validate_json(rest)
    except ValidationError:
        request = _whole(body)
    for output in request.outputs:
        if output.name not in OUTPUTS:
            raise InvalidInput(f"outputs: no output {output.name!r}; there are {list(OUTPUTS)}")
    given = request.inputs[0]
    shape = check_tensor(given.name, given.datatype, given.shape, description, max_rows)
    values = json_numbers.read(numbers, shape) if given.data == [APART] else None
    if values is None:
        values = as_array(_whole(body).inputs[0].data, given.datatype, shape)
    return request, checked(values, given.datatype)


def _apart(body: bytes) -> tuple[bytes, bytes]:
    """The body with a mark for the array under its first key `data`, and the array; where that
    cannot be numbers, the body as it is.
    """
    start = body.find(b"[", body.find(b'"data"'))
    ends = [end for end in (body.find(b'"', start), body.find(b"}", start)) if end >= 0]
    end = body.rfind(b"]", start, min(ends, default=len(body))) + 1
    if not 0 <= start < end:
        return body, b""
    return b'%b["%b"]%b' % (body[:start], APART.encode(), body[end:]), body[start:end]


def _whole(body: bytes) -> InferRequest:
    try:
        return InferRequest.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(map(str, first["loc"])) or "the body"
        got = repr(first["input"])
        raise RequestError(
            f"{field}: {first['msg']}; got {got if len(got) <= 80 else got[:77] + '...'}"
        ) from error


def use_caches(request: InferRequest) -> bool:
    """The request's parameter `cache`, `on` unless it says `off`."""
    return parse_cache(request.parameters.get("cache", "on"), "parameters.cache")


def parse_cache(value: object, field: str) -> bool:
    if value not in ("on", "off"):
        raise InvalidInput(f"{field} is {value!r}; it may be 'on' or 'off'")
    return value == "on"


def response(
    request: InferRequest,
    request_id: str,
    answers: Answers,
    classes: tuple[str, ...],
    name: str,
    version: str,
    trace: dict[str, Any],
) -> bytes:
    """The response as JSON, an `InferResponse`; takes 0.1 us a probability.

    Args:
        classes: by label.
        trace: to add to the parameters.
    """
    parameters = {
        "exits": ",".join(answers.exits),
        "cache_version": answers.cache_version,
        **trace,
    }
    head = to_json(
        {
            "model_name": name,
            "model_version": version,
            "id": request.id or request_id,
            "parameters": parameters,
        }
    )
    wanted = [output.name for output in request.outputs] or OUTPUTS
    outputs = b",".join(_output(output, answers, classes) for output in wanted)
    return b'%b,"outputs":[%b]}' % (head[:-1], outputs)


def _output(name: str, answers: Answers, classes: tuple[str, ...]) -> bytes:
    if name == "label":
        datatype, shape = "BYTES", answers.class_ids.shape
        data = to_json([classes[i] for i in answers.class_ids])
    else:
        datatype, shape = "FP32", answers.probabilities.shape
        data = json_numbers.write(answers.probabilities)
    head = to_json({"name": name, "datatype": datatype, "shape": shape})
    return b'%b,"data":%b}' % (head[:-1], data)


def metadata(description: ModelDescription, name: str, version: str) -> dict[str, Any]:
    """The model's metadata; where there are two inputs, a request carries one of them."""
    inputs = [{"name": "input", "datatype": "FP32", "shape": [-1, *description.input_shape]}]
    if description.preprocessing is not None:
        channels = len(description.preprocessing.mean)
        inputs.insert(0, {"name": "image", "datatype": "UINT8", "shape": [-1, -1, -1, channels]})
    return {
        "name": name,
        "versions": [version],
        "platform": "pytorch",
        "inputs": inputs,
        "outputs": [
            {"name": "probabilities", "datatype": "FP32", "shape": [-1, len(description.classes)]},
            {"name": "label", "datatype": "BYTES", "shape": [-1]},
        ],
        "parameters": {"inputs_per_request": 1},
    }
