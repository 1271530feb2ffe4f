"""Whatever bytes come, the answer is one, or says what is wrong; `GATI_FUZZ=20000` sends more."""

import asyncio
import json
import os
import random
from copy import deepcopy

import httpx

from deployments.ingress.endpoints import build
from deployments.ingress.open_inference.rest import LENGTH
from tests.deployments.ingress.test_endpoints import FakeService

COUNT = int(os.environ.get("GATI_FUZZ", "500"))
DATATYPES = ["UINT8", "INT8", "UINT16", "INT64", "UINT64", "FP16", "BF16", "FP32", "FP64", "BOOL"]
SIZES = {"UINT8": 1, "INT8": 1, "BOOL": 1, "UINT16": 2, "FP16": 2, "BF16": 2, "FP32": 4}
ODD = [
    None, True, 0, -1, 1, 0.5, 2**31, 2**63, 2**64, 10**400, 1e308, "", "x", "\0", "é" * 300,
    "\ud800", "NaN", [], {}, [[]], [None], {"a": {"b": []}}, [[[[[[]]]]]],
]  # fmt: skip
KEYS = [
    "id", "parameters", "inputs", "outputs", "name", "shape", "datatype", "data", "cache",
    "sequence_id", "binary_data_size", "binary_data", "binary_data_output", "classification",
    "shared_memory_region", "timeout",
]  # fmt: skip


class Bodies:
    """Requests that are right, and then changed here and there."""

    def __init__(self, seed: int):
        self._random = random.Random(seed)

    def one(self) -> tuple[bytes, str | None]:
        """A body, and the header with its JSON's length."""
        draw = self._random
        request, binary = self._request()
        while draw.random() < 0.4:
            self._change(request)
        text = json.dumps(request, ensure_ascii=draw.random() < 0.9).encode(errors="surrogatepass")
        if draw.random() < 0.1:
            text = self._broken(text)
        if draw.random() < 0.1:
            binary = self._broken(binary)
        length: str | None = str(len(text)) if binary or draw.random() < 0.1 else None
        if draw.random() < 0.1:
            odd = ["", "x", "-1", "0", "1e3", "9" * 30, "0x10", " 5", None]
            length = draw.choice([*odd, str(len(text) + draw.randint(-9, 9))])
        return text + binary, length

    def _request(self) -> tuple[dict, bytes]:
        draw = self._random
        datatype = draw.choice(DATATYPES)
        is_image = draw.random() < 0.5
        rows = draw.randint(1, 3)
        shape = [rows, draw.randint(1, 20), draw.randint(1, 20), draw.choice([1, 3])]
        if not is_image:
            shape = [rows, 3, 8, 8]
        count = rows * shape[1] * shape[2] * shape[3]
        tensor: dict = {"name": "image" if is_image else "input", "shape": shape}
        tensor["datatype"] = datatype
        request: dict = {"inputs": [tensor]}
        outputs = [{"name": "label"}, {"name": "probabilities"}]
        if draw.random() < 0.5:
            request["outputs"] = draw.sample(outputs, draw.randint(0, 2))
            for output in request["outputs"]:
                output["parameters"] = draw.choice(
                    [None, {}, {"binary_data": True}, {"classification": draw.randint(0, 3)}]
                )
        if draw.random() < 0.5:
            request["parameters"] = draw.choice(
                [{"binary_data_output": True}, {"cache": "off"}, {"sequence_id": 7}, None]
            )
        if draw.random() < 0.6:
            size = SIZES.get(datatype, 8) * count
            tensor["parameters"] = {"binary_data_size": size}
            fill = draw.choice([bytes(size), b"\1" * size, draw.randbytes(size)])
            return request, fill
        values = [True, False] if datatype == "BOOL" else [0, 1, 255, 0.5, -1, 1e39]
        tensor["data"] = draw.choices(values[: draw.randint(1, len(values))], k=count)
        return request, b""

    def _change(self, request: dict) -> None:
        """Something in it becomes odd, is missing, or is more than it was."""
        draw = self._random
        place = draw.choice(
            [request, *_dicts(request.get("inputs")), *_dicts(request.get("outputs"))]
        )
        if draw.random() < 0.3 and isinstance(place.get("parameters"), dict):
            place = place["parameters"]
        match draw.randint(0, 4):
            case 0 if place:
                del place[draw.choice(list(place))]
            case 1 if isinstance(place.get("shape"), list) and place["shape"]:
                i = draw.randrange(len(place["shape"]))
                place["shape"][i] = draw.choice([0, -1, 10**4, 10**12, 2**63, "2", 1.5, None])
            case 2 if isinstance(place.get("data"), list) and place["data"]:
                place["data"][draw.randrange(len(place["data"]))] = deepcopy(draw.choice(ODD))
            case 3 if isinstance(request.get("inputs"), list):
                request["inputs"] = request["inputs"] * draw.randint(0, 3)
            case _:
                place[draw.choice(KEYS)] = deepcopy(draw.choice(ODD))

    def _broken(self, content: bytes) -> bytes:
        draw = self._random
        start, end = sorted(draw.randint(0, len(content)) for _ in range(2))
        middle = draw.choice([b"", draw.randbytes(draw.randint(1, 9)), content[start:end] * 2])
        return content[:start] + middle + content[end:]


def _dicts(values: object) -> list[dict]:
    return [v for v in values if isinstance(v, dict)] if isinstance(values, list) else []


def test_any_body_gets_an_answer_or_an_error_that_says_why():
    asyncio.run(_ask_all())


async def _ask_all():
    bodies, seen = Bodies(seed=COUNT), set()
    transport = httpx.ASGITransport(build(FakeService()), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
        for i in range(COUNT):
            body, length = bodies.one()
            headers = {} if length is None else {LENGTH: length}
            answer = await client.post("/v2/models/pets/infer", content=body, headers=headers)
            seen.add(answer.status_code)
            assert answer.status_code < 500, (i, body, length, answer.text)
            if answer.status_code == 200:
                size = int(answer.headers.get(LENGTH, len(answer.content)))
                head = json.loads(answer.content[:size])
                follow = [
                    o.get("parameters", {}).get("binary_data_size", 0) for o in head["outputs"]
                ]
                assert size + sum(follow) == len(answer.content)
            else:
                assert answer.json().keys() == {"error"}, (i, body, length)
                assert len(answer.json()["error"]) < 1_000, (i, body, length)
    assert {200, 400, 413, 422} <= seen
