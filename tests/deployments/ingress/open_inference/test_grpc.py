"""gRPC's messages say the same as HTTP's, and its statuses stand for the same errors."""

import asyncio
import json
from pathlib import Path
from types import SimpleNamespace

import grpc
import numpy as np
import pytest
from google.protobuf import descriptor_pb2

import deployments
from cache_models.cascade import Answers
from deployments.config import HttpLimits
from deployments.ingress.errors import RequestError, Unavailable
from deployments.ingress.grpc_methods import Methods
from deployments.ingress.open_inference.grpc import messages
from deployments.ingress.open_inference.grpc import open_inference_pb2 as pb
from deployments.ingress.open_inference.grpc.registration import SERVICE, add_to_server
from deployments.ingress.open_inference.messages import InferResponse, WantedOutput
from deployments.ingress.open_inference.tensors import Signature
from deployments.transport.errors import Failed, Lost, Refused
from tests.deployments.ingress.open_inference.test_rest import IMAGES, TENSORS
from tests.deployments.ingress.open_inference.test_token_inputs import IDS, MASK, TOKENS
from tests.deployments.ingress.test_endpoints import FakeService

STATUS = grpc.StatusCode
ROOT = Path(deployments.__file__).parents[1]


def request(values, datatype="FP32", contents=None, raw=True, **more) -> pb.ModelInferRequest:
    tensor = pb.ModelInferRequest.InferInputTensor(
        name=more.pop("name", "input"), datatype=datatype, shape=np.shape(values)
    )
    if contents:
        getattr(tensor.contents, contents).extend(np.ravel(values).tolist())
    given = pb.ModelInferRequest(inputs=[tensor], **more)
    if raw and not contents:
        given.raw_input_contents.append(np.asarray(values).tobytes())
    return given


def read(given: pb.ModelInferRequest, description=TENSORS):
    return messages.read(given, Signature(description, HttpLimits(max_batch_rows=8)))


@pytest.mark.parametrize(
    ("datatype", "contents"),
    [
        ("BOOL", "bool_contents"),
        ("INT8", "int_contents"),
        ("INT16", "int_contents"),
        ("INT32", "int_contents"),
        ("INT64", "int64_contents"),
        ("UINT8", "uint_contents"),
        ("UINT16", "uint_contents"),
        ("UINT32", "uint_contents"),
        ("UINT64", "uint64_contents"),
        ("FP32", "fp32_contents"),
        ("FP64", "fp64_contents"),
    ],
)
def test_values_may_stand_in_the_field_of_their_datatype(datatype, contents):
    assert read(request([[1, 0]], datatype, contents)).batch.tolist() == [[1, 0]]


def test_a_model_of_tokens_takes_its_inputs_by_their_names():
    given = request(MASK, "INT32", name="attention_mask")
    given.MergeFrom(request(IDS, "INT64", name="input_ids"))
    assert read(given, TOKENS).batch.tolist() == np.stack([IDS, MASK], axis=1).tolist()


def test_values_may_be_raw():
    assert read(request(np.float32([[0.5, 1]]))).batch.tolist() == [[0.5, 1]]
    assert read(request(np.float16([[0.5, 1]]), "FP16")).batch.tolist() == [[0.5, 1]]
    pixels = np.array([1, 2], np.uint8).reshape(1, 1, 2, 1)
    assert read(request(pixels, "UINT8", name="image"), IMAGES).batch.tolist() == pixels.tolist()


def test_parameters_and_outputs_are_read():
    given = request(np.float32([[0.5, 1]]), id="7")
    given.parameters["cache"].string_param = "off"
    given.parameters["sequence_id"].int64_param = 3
    given.parameters["nothing"].CopyFrom(pb.InferParameter())
    given.outputs.add(name="label")
    given.outputs.add(name="probabilities").parameters["classification"].int64_param = 2
    found = read(given)
    assert found.id == "7"
    assert found.parameters == {"cache": "off", "sequence_id": 3}
    assert list(found.outputs) == [WantedOutput("label"), WantedOutput("probabilities", 2)]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (pb.ModelInferRequest(), "inputs: there are none"),
        (request(np.float32([[1, 2]]), "FP64"), "has 8 bytes; .* say 16"),
        (request([[1, 2]], "FP16", raw=False), "comes as raw_input_contents"),
        (request([[1, 2]], "FP32", "fp64_contents"), "fp32_contents has 0 values; .* says 2"),
        (request([[1, 300]], "INT8", "int_contents"), "INT8 values are whole numbers from -128"),
        (request([[1, 300]], "INT8", "int_contents", raw_input_contents=[b"xy"]), "then are empty"),
        (request([[1, 2]], raw_input_contents=[b""]), "raw_input_contents: there are 2"),
        (request(np.float32([[1, 2, 3]])), r"shape is \[1, 3\]"),
        (request([[1, 2]], "BYTES"), "'BYTES'; for 'input' it is 'FP32'"),
        (request([[1, 2]], outputs=[{"name": "x"}]), "no output 'x'"),
    ],
)
def test_what_is_wrong_is_named(given, told):
    with pytest.raises(RequestError, match=told):
        read(given)


def test_outputs_are_raw_and_in_order():
    answers = Answers(np.array([1]), np.array([[0.25, 0.75]], np.float32), ["a"], 4)
    wanted = [WantedOutput("label"), WantedOutput("probabilities")]
    parameters = {"exits": "a", "cache_version": 4, "trace": [{"step": "x"}]}
    response = InferResponse("7", "pets", "1", parameters, wanted, answers, IMAGES.classes)
    told = messages.write(response)
    assert [(o.name, o.datatype, list(o.shape)) for o in told.outputs] == [
        ("label", "BYTES", [1]),
        ("probabilities", "FP32", [1, 2]),
    ]
    assert list(told.raw_output_contents) == [b"\3\0\0\0dog", answers.probabilities.tobytes()]
    found = messages.parameters(told.parameters)
    assert json.loads(found.pop("trace")) == [{"step": "x"}]
    assert found == {"exits": "a", "cache_version": 4}


class FakeContext:
    """Of one call, as Serve makes it."""

    def __init__(self, **metadata):
        self._metadata = [(name.replace("_", "-"), value) for name, value in metadata.items()]
        self.code, self.details, self.trailing = None, "", [("request_id", "serve's")]

    def invocation_metadata(self):
        return self._metadata

    def trailing_metadata(self):
        return self.trailing

    def set_trailing_metadata(self, metadata):
        self.trailing = metadata

    def set_code(self, code):
        self.code = code

    def set_details(self, details):
        self.details = details


class FakeRouter(Methods, FakeService):
    pass


@pytest.fixture
def router():
    return FakeRouter()


def ask(router, method: str, given, **metadata):
    """The answer, and the context."""
    context = FakeContext(**metadata)
    answer = asyncio.run(getattr(router, method)(given, grpc_context=context))
    return answer, context


PIXELS = np.zeros((2, 1, 1, 1), np.uint8)


def infer(name="pets", **more) -> pb.ModelInferRequest:
    return request(PIXELS, "UINT8", name="image", model_name=name, **more)


def test_a_request_is_answered_and_carries_what_headers_carry(router):
    answer, context = ask(
        router, "ModelInfer", infer(id="7"), x_request_id="mine", x_stream="camera", x_trace="1",
        traceparent="00-1-2-01",
    )  # fmt: skip
    assert context.code is None
    assert (answer.model_name, answer.model_version, answer.id) == ("pets", "1", "7")
    assert [output.name for output in answer.outputs] == ["probabilities", "label"]
    assert router.streams == ["camera"]
    assert context.trailing == [("x-request-id", "mine")]
    first, *_ = json.loads(answer.parameters["trace"].string_param)
    assert (first["step"], first["traceparent"]) == ("request", "00-1-2-01")
    answer, context = ask(router, "ModelInfer", infer())
    assert answer.id == "serve's"
    assert context.trailing == [("x-request-id", "serve's")]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Failed("x"), STATUS.INTERNAL),
        (Lost("gone"), STATUS.UNAVAILABLE),
        (Refused("busy"), STATUS.UNAVAILABLE),
        (TimeoutError(), STATUS.DEADLINE_EXCEEDED),
        (ZeroDivisionError("x"), STATUS.INTERNAL),
    ],
)
def test_every_way_to_fail_has_its_status(router, error, code):
    router.error = error
    answer, context = ask(router, "ModelInfer", infer())
    assert context.code == code
    assert context.details
    assert answer == pb.ModelInferResponse()
    assert sum(router.errors.values()) == 1


def test_what_the_client_did_wrong_has_its_status(router):
    for given, code in (
        (infer("cars"), STATUS.NOT_FOUND),
        (infer(model_version="2"), STATUS.NOT_FOUND),
        (pb.ModelInferRequest(model_name="pets"), STATUS.INVALID_ARGUMENT),
        (infer(outputs=[{"name": "x"}]), STATUS.INVALID_ARGUMENT),
    ):
        assert ask(router, "ModelInfer", given)[1].code == code
    router.limits = HttpLimits(max_batch_rows=1)
    router.inputs._signature = Signature(router.description, router.limits)
    assert ask(router, "ModelInfer", infer())[1].code == STATUS.RESOURCE_EXHAUSTED


def test_a_stream_is_answered_one_by_one_errors_too(router):
    async def requests():
        for one in (infer(id="1"), infer("cars", id="2"), infer(id="3")):
            yield one

    async def ask_all():
        told = router.ModelStreamInfer(requests(), grpc_context=FakeContext())
        return [(a.infer_response.id, a.error_message) async for a in told]

    assert asyncio.run(ask_all()) == [
        ("1", ""),
        ("2", "no model 'cars'; there is 'pets'"),
        ("3", ""),
    ]


def test_health_and_metadata(router):
    named = SimpleNamespace(name="pets", version="")
    assert ask(router, "ServerLive", None)[0].live
    assert ask(router, "ServerReady", None)[0].ready
    assert ask(router, "ModelReady", named)[0].ready
    assert "binary_tensor_data" in ask(router, "ServerMetadata", None)[0].extensions
    model = ask(router, "ModelMetadata", named)[0]
    assert [(i.name, i.datatype, list(i.shape)) for i in model.inputs] == [
        ("image", "UINT8", [-1, -1, -1, 3]),
        ("input", "FP32", [-1, 3, 8, 8]),
    ]
    config = ask(router, "ModelConfig", named)[0].config
    assert [i.data_type for i in config.input] == [pb.TYPE_UINT8, pb.TYPE_FP32]
    assert [list(o.dims) for o in config.output] == [[2], [1]]
    router.stats.count(["base", "input", "input"], 2.0)
    (statistics,) = ask(router, "ModelStatistics", pb.ModelStatisticsRequest())[0].model_stats
    assert statistics.inference_count == 3
    assert statistics.inference_stats.cache_hit.count == 2
    asked = pb.RepositoryIndexRequest(ready=True)
    assert ask(router, "RepositoryIndex", asked)[0].models[0].state == "READY"
    router.error = Unavailable("not yet")
    assert not ask(router, "ServerReady", None)[0].ready
    assert not ask(router, "ModelReady", named)[0].ready
    assert not ask(router, "RepositoryIndex", asked)[0].models
    other = SimpleNamespace(name="cars", version="")
    for method in ("ModelReady", "ModelMetadata", "ModelConfig", "ModelStatistics"):
        assert ask(router, method, other)[1].code == STATUS.NOT_FOUND


def test_a_server_is_told_of_every_method_and_the_router_has_it():
    added = []
    server = SimpleNamespace(add_generic_rpc_handlers=added.extend)
    add_to_server(Methods(), server)
    (handlers,) = added
    assert handlers.service_name() == "inference.GRPCInferenceService"
    for method in SERVICE.methods:
        assert callable(getattr(Methods, method.name))


def test_the_messages_are_those_of_the_definition(tmp_path):
    protoc = pytest.importorskip("grpc_tools.protoc")
    out = f"--descriptor_set_out={tmp_path / 'made'}"
    assert protoc.main(["protoc", f"-I{ROOT}", out, SERVICE.file.name]) == 0
    made = descriptor_pb2.FileDescriptorSet.FromString((tmp_path / "made").read_bytes()).file[0]
    for message in _with_those_in_it(made.message_type):
        for field in message.field:
            field.ClearField("json_name")  # which follows from the name
    assert made == descriptor_pb2.FileDescriptorProto.FromString(SERVICE.file.serialized_pb)


def _with_those_in_it(messages):
    for message in messages:
        yield message
        yield from _with_those_in_it(message.nested_type)
