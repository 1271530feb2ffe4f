"""How a sample is put into a request, and how an answer is read: the sample itself as a body, or
the Open Inference Protocol (KServe V2) with JSON tensors."""

import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import NamedTuple

import numpy as np
from PIL import Image

from cache_models.network.description import ModelDescription
from workload.samples import Sample, Sound, model_input, wav

STREAM = "X-Stream"
JSON = "application/json"


class Answer(NamedTuple):
    """One answer as a server gave it."""

    class_id: int
    exit: str
    version: int
    server_ms: float


class Body(NamedTuple):
    """Of one request, and the headers that go with it."""

    content: bytes
    headers: dict[str, str]


@dataclass(frozen=True)
class Protocol:
    """
    Attributes:
        path: after the server's URL.
        body: of a sample, and the key of its stream, empty if there is none.
        read: an answer's JSON.
        headers: of every request.
    """

    path: str
    body: Callable[[Sample, str], Body]
    read: Callable[[bytes], Answer]
    headers: Mapping[str, str] = field(default_factory=dict)


def png(image: np.ndarray) -> bytes:
    """`(h, w, 1 or 3)` uint8 as a PNG file."""
    buffer = io.BytesIO()
    picture = Image.fromarray(image[..., 0] if image.shape[2] == 1 else image)
    picture.save(buffer, "PNG", compress_level=1)  # a quarter of the default's time
    return buffer.getvalue()


def raw(use_caches: bool = True) -> Protocol:
    """A PNG, a WAV or a text in JSON as the body of `POST /predict`."""
    path = "/predict" if use_caches else "/predict?cache=off"
    return Protocol(path, raw_body, _read_answer)


def traced(traces: list[list[dict]], use_caches: bool = True) -> Protocol:
    """As `raw`, and every answer's timeline is appended to `traces`."""

    def read(body: bytes) -> Answer:
        answer = _read_answer(body)
        traces.append(json.loads(body)["trace"])
        return answer

    return replace(raw(use_caches), read=read, headers={"X-Trace": "1"})


def open_inference(
    model: str, use_caches: bool = True, description: ModelDescription | None = None
) -> Protocol:
    """A batch of one as JSON: `image` for uint8 `(h, w, C)`, `input` for a float32 tensor.

    Args:
        model: its name on the server.
        description: of the base DNN, which says what input a sound or a text becomes.
    """
    body = partial(_infer_body, use_caches=use_caches, description=description)
    return Protocol(f"/v2/models/{model}/infer", body, _read_infer)


def raw_body(sample: Sample, stream: str = "") -> Body:
    """A sample as a body that `/predict` takes.

    Args:
        stream: its key; empty if there is none.
    """
    match sample:
        case str():
            kind, content = JSON, json.dumps({"text": sample}).encode()
        case Sound():
            kind, content = "audio/wav", wav(sample)
        case _:
            kind, content = "image/png", png(sample)
    return Body(content, {"Content-Type": kind, **({STREAM: stream} if stream else {})})


def _infer_body(
    sample: Sample, stream: str, use_caches: bool, description: ModelDescription | None
) -> Body:
    values = model_input(sample, description)
    pixels = values.dtype == np.uint8
    tensor = {
        "name": "image" if pixels else "input",
        "shape": [1, *values.shape],
        "datatype": "UINT8" if pixels else "FP32",
        "data": values.ravel().tolist(),
    }
    request = {"inputs": [tensor], "outputs": [{"name": "probabilities"}]}
    parameters = {} if use_caches else {"cache": "off"}
    if stream:
        parameters["sequence_id"] = stream
    if parameters:
        request["parameters"] = parameters
    return Body(json.dumps(request, separators=(",", ":")).encode(), {"Content-Type": JSON})


def _read_answer(body: bytes) -> Answer:
    answer = json.loads(body)
    return Answer(
        int(answer["class_id"]),
        str(answer["exit"]),
        _version(answer),
        float(answer.get("latency_ms", np.nan)),
    )


def _read_infer(body: bytes) -> Answer:
    answer = json.loads(body)
    scores = next(o for o in answer["outputs"] if o["name"] == "probabilities")["data"]
    parameters = answer["parameters"]
    return Answer(int(np.argmax(scores)), str(parameters["exits"]), _version(parameters), np.nan)


def _version(answer: dict) -> int:
    version = answer.get("cache_version")
    return -1 if version is None else int(version)
