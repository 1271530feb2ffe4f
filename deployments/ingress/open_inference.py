"""The Open Inference Protocol (KServe V2) over REST, with JSON tensors.

A model of images takes one of two inputs: `image`, decoded pixels as UINT8 `(B, h, w, C)` of any
size, or `input`, what the base DNN itself takes, as FP32 `(B, *input_shape)`. Other models take
only the latter.
"""

import math
from typing import Any

import numpy as np
from pydantic import BaseModel, Field, ValidationError

from cache_models.cascade import Answers
from cache_models.network.description import ModelDescription
from deployments.ingress.errors import BodyTooLarge, InvalidInput, RequestError

OUTPUTS = ("probabilities", "label")


class RequestInput(BaseModel):
    name: str
    shape: list[int]
    datatype: str
    data: list[Any]


class RequestOutput(BaseModel):
    name: str


class InferRequest(BaseModel):
    id: str | None = None
    parameters: dict[str, Any] = {}
    inputs: list[RequestInput] = Field(min_length=1, max_length=1)
    outputs: list[RequestOutput] = []


def parse(
    body: bytes, description: ModelDescription, max_rows: int
) -> tuple[InferRequest, np.ndarray]:
    """The request and its batch: `(B, h, w, C)` uint8 images or `(B, *input_shape)` float32.

    Raises:
        RequestError: the body is not such a request; names the field, what it got and may be.
    """
    try:
        request = InferRequest.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(map(str, first["loc"])) or "the body"
        got = repr(first["input"])
        raise RequestError(
            f"{field}: {first['msg']}; got {got if len(got) <= 80 else got[:77] + '...'}"
        ) from error
    for output in request.outputs:
        if output.name not in OUTPUTS:
            raise InvalidInput(f"outputs: no output {output.name!r}; there are {list(OUTPUTS)}")
    return request, _batch(request.inputs[0], description, max_rows)


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
    description: ModelDescription,
    name: str,
    version: str,
) -> dict:
    """The response's JSON; its parameters hold the exits, joined by commas, row by row."""
    rows, classes = answers.probabilities.shape
    outputs = {
        "probabilities": {
            "datatype": "FP32",
            "shape": [rows, classes],
            "data": answers.probabilities.ravel().tolist(),
        },
        "label": {
            "datatype": "BYTES",
            "shape": [rows],
            "data": [description.classes[i] for i in answers.class_ids],
        },
    }
    wanted = [output.name for output in request.outputs] or OUTPUTS
    return {
        "model_name": name,
        "model_version": version,
        "id": request.id or request_id,
        "parameters": {
            "exits": ",".join(answers.exits),
            "cache_version": answers.cache_version,
        },
        "outputs": [{"name": output, **outputs[output]} for output in wanted],
    }


def metadata(description: ModelDescription, name: str, version: str) -> dict:
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


def _batch(given: RequestInput, description: ModelDescription, max_rows: int) -> np.ndarray:
    images = description.preprocessing is not None
    datatypes = {"image": "UINT8", "input": "FP32"} if images else {"input": "FP32"}
    if given.name not in datatypes:
        raise InvalidInput(f"inputs.0.name is {given.name!r}; it may be {' or '.join(datatypes)}")
    if given.datatype != datatypes[given.name]:
        raise InvalidInput(
            f"inputs.0.datatype is {given.datatype!r}; for {given.name!r} it is "
            f"{datatypes[given.name]!r}"
        )
    shape = tuple(given.shape)
    _check_shape(given.name, shape, description)
    if shape[0] > max_rows:
        raise BodyTooLarge(
            f"the batch has {shape[0]} rows, more than {max_rows}; send fewer or raise "
            f"http.max_batch_rows in serve_config.yaml"
        )
    try:
        values = np.array(given.data)
    except (ValueError, OverflowError):  # rows of unequal length, integers beyond 64 bits
        values = np.array(None)
    if values.dtype.kind not in "iuf" or _holds_bool(given.data):
        raise InvalidInput(
            f"inputs.0.data must hold numbers for datatype {given.datatype}, flat or nested as "
            f"inputs.0.shape says; it holds other values or rows of unequal length"
        )
    if values.shape != shape and values.shape != (math.prod(shape),):
        raise InvalidInput(
            f"inputs.0.data has the shape {list(values.shape)}; inputs.0.shape says {list(shape)}, "
            f"so it may be that or flat with {math.prod(shape)} values"
        )
    if given.datatype == "UINT8":
        if values.dtype.kind == "f" or values.min() < 0 or values.max() > 255:
            raise InvalidInput("inputs.0.data: UINT8 values are whole numbers from 0 to 255")
        return values.astype(np.uint8).reshape(shape)
    with np.errstate(over="ignore"):
        values = values.astype(np.float32).reshape(shape)
    if not np.isfinite(values).all():
        raise InvalidInput(
            "inputs.0.data holds NaN or infinite values, or some that FP32 cannot hold; all must "
            "be finite"
        )
    return values


def _holds_bool(data: list) -> bool:
    """numpy reads true among numbers as 1; a tensor of numbers has none."""
    return any(_holds_bool(v) if isinstance(v, list) else isinstance(v, bool) for v in data)


def _check_shape(name: str, shape: tuple[int, ...], description: ModelDescription) -> None:
    if name == "input":
        fits = len(shape) > 1 and shape[1:] == description.input_shape and shape[0] > 0
        expected = [-1, *description.input_shape]
    else:
        channels = len(description.preprocessing.mean)
        fits = len(shape) == 4 and min(shape) > 0 and shape[3] in (1, channels)
        expected = [-1, -1, -1, channels]
    if not fits:
        one = " (or 1 channel)" if name == "image" and expected[-1] != 1 else ""
        raise InvalidInput(
            f"inputs.0.shape is {list(shape)}; for {name!r} it may be {expected}{one}, where -1 is "
            f"any number from 1"
        )
