"""What strangers' bytes meet first, each as a function of bytes that raises where a promise breaks:
every input is answered, or refused with a status from 400 to 499 and a reason.

Nothing listens here: the router's application is called as a server would call it.
"""

import asyncio
import gzip
import io
import json
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import grpc
import numpy as np
import soundfile
from google.protobuf.message import DecodeError
from PIL import Image

from cache_models.network import waveform
from cache_models.network.description import ModelDescription
from cache_models.network.tokens import Tokens
from cache_models.network.waveform import Waveform
from deployments.ingress.endpoints import build
from deployments.ingress.grpc_methods import Methods
from deployments.ingress.inputs import Inputs
from deployments.ingress.open_inference.grpc import open_inference_pb2 as pb
from deployments.ingress.open_inference.rest import LENGTH
from deployments.transport.errors import Lost
from deployments.transport.frames import FrameError, from_frames, to_frames
from deployments.transport.messages import MESSAGES
from deployments.transport.shared_memory import LEAST_BYTES, Loan, Ring, owned
from tests.deployments.ingress.test_endpoints import FakeService

TOKENIZER = Path(__file__).parents[1] / "tokenizer.json"
INFER = "/v2/models/pets/infer"
FORM = "multipart/form-data; boundary=b"
REFUSED = {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND}
REFUSED |= {grpc.StatusCode.RESOURCE_EXHAUSTED}


class Surface(NamedTuple):
    """
    Attributes:
        seeds: that are answered, to be changed.
        meet: raises AssertionError, or whatever else is a mistake.
    """

    seeds: list[bytes]
    meet: Callable[[bytes], object]


class Broken(AssertionError):
    """An input that was neither answered nor refused."""


class Application:
    """Of a router for one model, in this process.

    Args:
        loop: on which it runs while it is asked.
        reader: None for pictures.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        reader: Waveform | Tokens | None = None,
        shape: tuple[int, ...] = (),
    ):
        self._loop = loop
        self.service = self._loop.run_until_complete(self._made(reader, shape))
        self._app = build(self.service)

    async def _made(self, reader, shape) -> FakeService:
        service = FakeService(max_body_bytes=2**20, max_image_pixels=2**20, max_batch_rows=64)
        service.stats = SimpleNamespace(count_error=lambda status: None, count=lambda *_: None)
        if reader is not None:
            service.description = ModelDescription(shape, ("cat", "dog"), reader=reader)
            service.inputs = Inputs(service.description, service.limits, service.workers)
        return service

    def post(self, path: str, body: bytes, headers: dict[str, str] | None = None) -> int:
        """The status; Broken if nobody may get it."""
        given = [(k.lower().encode(), v.encode("latin-1")) for k, v in (headers or {}).items()]
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST",
            "scheme": "http", "path": path, "raw_path": path.encode(), "query_string": b"",
            "root_path": "", "headers": given, "client": ("x", 1), "server": ("x", 80),
        }  # fmt: skip
        said: list[dict] = []

        async def receive() -> dict:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message) -> None:
            said.append(message)

        self._loop.run_until_complete(self._app(scope, receive, send))
        status = said[0]["status"]
        content = b"".join(message.get("body", b"") for message in said[1:])
        if status == 200:
            return status
        if not 400 <= status < 500:
            raise Broken(f"{status}: {content[:500]!r}")
        why = json.loads(content)["error"]
        if not 0 < len(why) < 2_000:
            raise Broken(f"{status} says {why[:500]!r}")
        return status

    def infer_by_grpc(self, message: bytes) -> None:
        try:
            request = pb.ModelInferRequest.FromString(message)
        except DecodeError:
            return  # which gRPC refuses
        context = SimpleNamespace(code=grpc.StatusCode.OK)
        context.invocation_metadata = context.trailing_metadata = lambda: []
        context.set_trailing_metadata = context.set_details = lambda _: None
        context.set_code = lambda code: setattr(context, "code", code)
        self._loop.run_until_complete(Methods.ModelInfer(self.service, request, context))
        if context.code not in {grpc.StatusCode.OK, *REFUSED}:
            raise Broken(str(context.code))


@contextmanager
def surface(name: str) -> Iterator[Surface]:
    """One of `SURFACES`."""
    with asyncio.Runner() as runner:
        yield SURFACES[name](runner.get_loop())


def _pictures(loop: asyncio.AbstractEventLoop) -> Surface:
    app = Application(loop)
    return Surface(_files(), lambda data: app.post("/predict", data))


def _files() -> list[bytes]:
    grey = Image.fromarray(np.arange(400, dtype=np.uint8).reshape(20, 20))
    deep = Image.fromarray(np.arange(400, dtype=np.uint16).reshape(20, 20))
    colour, bits = grey.convert("RGB"), grey.convert("1")
    saved = [
        (grey, "PNG", {}), (grey.convert("P"), "PNG", {"transparency": 3}), (deep, "PNG", {}),
        (colour, "JPEG", {}), (colour, "JPEG", {"progressive": True, "exif": _exif()}),
        (colour, "WEBP", {}), (colour, "WEBP", {"lossless": True}), (grey, "GIF", {}),
        (grey, "GIF", {"save_all": True, "append_images": [grey.rotate(90)]}), (colour, "BMP", {}),
        (colour, "TIFF", {}), (colour, "TIFF", {"compression": "tiff_deflate"}),
        (grey, "TIFF", {"compression": "tiff_lzw"}), (bits, "TIFF", {"compression": "group4"}),
        (colour.convert("CMYK"), "TIFF", {"compression": "jpeg"}), (colour, "PPM", {}),
    ]  # fmt: skip
    return [_saved(*each) for each in saved]


def _exif() -> Image.Exif:
    exif = Image.Exif()
    exif[274] = 6
    return exif


def _saved(image: Image.Image, kind: str, more: dict) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **more)
    return file.getvalue()


def _multipart(loop: asyncio.AbstractEventLoop) -> Surface:
    app, picture = Application(loop), _files()[0]
    coded = [(b"", picture), (b"Content-Transfer-Encoding: base64\r\n", b"aGFsbG8=\r\n")]
    coded += [(b"Content-Transfer-Encoding: quoted-printable\r\n", b"a=3Db=\r\n")]
    disposition = b'Content-Disposition: form-data; name="image"; filename="a"'
    seeds = [b"--b\r\n%b\r\n%b\r\n%b\r\n--b--\r\n" % (disposition, *each) for each in coded]
    seeds.append(seeds[0][:-6] + b"\r\n" + seeds[0].replace(b'"image"', b'"other"'))
    return Surface(seeds, lambda data: app.post("/predict", data, {"Content-Type": FORM}))


def _coded(loop: asyncio.AbstractEventLoop) -> Surface:
    """The first byte says how it is said to be compressed."""
    app, picture = Application(loop), _files()[0]
    names = ["gzip", "deflate", "gzip, deflate", "identity", "x-gzip", "br", "deflate, deflate"]
    packer = zlib.compressobj(wbits=-15)
    packed = [(0, gzip.compress(picture)), (1, zlib.compress(picture))]
    packed += [(1, packer.compress(picture) + packer.flush()), (3, picture)]
    packed += [(2, zlib.compress(gzip.compress(picture))), (0, gzip.compress(b"") * 3)]

    def meet(data: bytes) -> None:
        coding = names[data[0] % len(names)] if data else ""
        app.post("/predict", data[1:], {"Content-Encoding": coding})

    return Surface([bytes([which]) + body for which, body in packed], meet)


def _sounds(loop: asyncio.AbstractEventLoop) -> Surface:
    waveform.MOST_REFUSED = 10**9  # else each takes a process from some time on
    app = Application(loop, Waveform(8_000, 4_000), (4_000,))
    seeds = []
    for how in ({"format": "WAV"}, {"format": "FLAC"}, {"format": "OGG", "subtype": "VORBIS"}):
        for channels in (1, 2):
            file = io.BytesIO()
            wave = np.sin(np.arange(4_000 * channels)).reshape(-1, channels)
            soundfile.write(file, wave, 16_000, **how)
            seeds.append(file.getvalue())
    return Surface(seeds, lambda data: app.post("/predict", data))


def _texts(loop: asyncio.AbstractEventLoop) -> Surface:
    """The first byte says what it is said to be."""
    app = Application(loop, Tokens(str(TOKENIZER), 8, ("input_ids",)), (1, 8))
    kinds = ["application/json", "text/plain", "text/plain; charset=utf-16", FORM]
    kinds += ["text/plain; charset=idna", "text/plain; charset=hex", 'a; charset="\xff', ""]
    form = b'--b\r\nContent-Disposition: form-data; name="text"\r\n\r\nyes\r\n--b--\r\n'
    seeds = [b'\0{"text": "a film"}', b"\1plain", b"\2" + "text".encode("utf-16"), b"\3" + form]

    def meet(data: bytes) -> None:
        kind = kinds[data[0] % len(kinds)] if data else ""
        app.post("/predict", data[1:], {"Content-Type": kind})

    return Surface(seeds, meet)


def _rest(loop: asyncio.AbstractEventLoop) -> Surface:
    """The first two bytes say how long the JSON is, unless they are 0."""
    app = Application(loop)
    pixels = {"name": "image", "shape": [1, 2, 2, 1], "datatype": "UINT8"}
    tensor = {"name": "input", "shape": [1, 3, 8, 8], "datatype": "FP32"}
    by_json = {
        "id": "7",
        "parameters": {"cache": "off", "sequence_id": 3},
        "inputs": [pixels | {"data": [1, 2, 3, 4]}],
        "outputs": [{"name": "probabilities", "parameters": {"classification": 1}}],
    }
    head = json.dumps(
        {
            "inputs": [tensor | {"parameters": {"binary_data_size": 768}}],
            "parameters": {"binary_data_output": True},
        }
    ).encode()
    seeds = [b"\0\0" + json.dumps(by_json).encode()]
    seeds += [struct.pack(">H", len(head)) + head + bytes(768)]
    seeds += [b"\0\0" + json.dumps({"inputs": [tensor | {"data": [[[0.5] * 8] * 8] * 3}]}).encode()]

    def meet(data: bytes) -> None:
        length = int.from_bytes(data[:2], "big")
        app.post(INFER, data[2:], {LENGTH: str(length)} if length else {})

    return Surface(seeds, meet)


def _grpc(loop: asyncio.AbstractEventLoop) -> Surface:
    app = Application(loop)
    tensor = pb.ModelInferRequest.InferInputTensor
    pixels = tensor(name="image", datatype="UINT8", shape=[1, 2, 2, 1])
    raw = pb.ModelInferRequest(model_name="pets", inputs=[pixels], raw_input_contents=[b"1234"])
    raw.parameters["cache"].string_param = "off"
    raw.outputs.add(name="probabilities").parameters["classification"].int64_param = 2
    typed = tensor(name="image", datatype="UINT8", shape=[1, 2, 2, 1])
    typed.contents.uint_contents.extend([1, 2, 3, 4])
    seeds = [raw, pb.ModelInferRequest(model_name="pets", id="7", inputs=[typed])]
    return Surface([each.SerializeToString() for each in seeds], app.infer_by_grpc)


def _frames(_: asyncio.AbstractEventLoop) -> Surface:
    """What a replica reads of a message: frames, each with its length before it."""
    values = [1.5, np.arange(6, dtype=np.float16).reshape(2, 3), "text", None]
    lent = [None, False, np.zeros((1, LEAST_BYTES), np.uint8)]
    loan = Loan(Ring(4 * LEAST_BYTES, hold_s=1e6))
    seeds = [
        b"".join(struct.pack(">H", len(bytes(frame))) + bytes(frame) for frame in frames)
        for frames in (to_frames(values), to_frames(lent, loan))
    ]

    def meet(data: bytes) -> None:
        found = []
        while len(data) >= 2:
            length = int.from_bytes(data[:2], "big")
            found.append(data[2 : 2 + length])
            data = data[2 + length :]
        with suppress(FrameError, Lost):
            read = from_frames(found)
            for kind in MESSAGES.values():
                with suppress(TypeError):  # another number of values
                    owned(kind(*read))

    return Surface(seeds, meet)


SURFACES: dict[str, Callable[[asyncio.AbstractEventLoop], Surface]] = {
    "pictures": _pictures,
    "multipart": _multipart,
    "coding": _coded,
    "sounds": _sounds,
    "texts": _texts,
    "rest": _rest,
    "grpc": _grpc,
    "frames": _frames,
}
