"""How a picture is put into a request, and how an answer is read: raw images, or the Open
Inference Protocol (KServe V2) with JSON tensors."""

import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

import numpy as np
from PIL import Image


class Answer(NamedTuple):
    """One answer as a server gave it."""

    class_id: int
    exit: str
    version: int
    server_ms: float


@dataclass(frozen=True)
class Protocol:
    """
    Attributes:
        path: after the server's URL.
        content_type: of bodies.
        body: a picture as a request's body.
        read: an answer's JSON.
        headers: more of them.
    """

    path: str
    content_type: str
    body: Callable[[np.ndarray], bytes]
    read: Callable[[bytes], Answer]
    headers: Mapping[str, str] = field(default_factory=dict)


def png(image: np.ndarray) -> bytes:
    """`(h, w, 1 or 3)` uint8 as a PNG file."""
    buffer = io.BytesIO()
    picture = Image.fromarray(image[..., 0] if image.shape[2] == 1 else image)
    picture.save(buffer, "PNG", compress_level=1)  # a quarter of the default's time
    return buffer.getvalue()


def image(use_caches: bool = True) -> Protocol:
    """A PNG as the body of `POST /predict`."""
    path = "/predict" if use_caches else "/predict?cache=off"
    return Protocol(path, "image/png", png, _read_image)


def traced(traces: list[list[dict]]) -> Protocol:
    """As `image`, and every answer's timeline is appended to `traces`."""

    def read(body: bytes) -> Answer:
        answer = _read_image(body)
        traces.append(json.loads(body)["trace"])
        return answer

    return Protocol("/predict", "image/png", png, read, {"X-Trace": "1"})


def open_inference(model: str, use_caches: bool = True) -> Protocol:
    """A batch of one as JSON: `image` for uint8 `(h, w, C)`, `input` for a float32 tensor.

    Args:
        model: its name on the server.
    """
    body = partial(_infer_body, use_caches=use_caches)
    return Protocol(f"/v2/models/{model}/infer", "application/json", body, _read_infer)


def _infer_body(picture: np.ndarray, use_caches: bool) -> bytes:
    pixels = picture.dtype == np.uint8
    tensor = {
        "name": "image" if pixels else "input",
        "shape": [1, *picture.shape],
        "datatype": "UINT8" if pixels else "FP32",
        "data": picture.ravel().tolist(),
    }
    request = {"inputs": [tensor], "outputs": [{"name": "probabilities"}]}
    if not use_caches:
        request["parameters"] = {"cache": "off"}
    return json.dumps(request, separators=(",", ":")).encode()


def _read_image(body: bytes) -> Answer:
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
