"""`tritonclient.grpc` as a user calls it; ends with an error if an answer is not right.

Usage: triton_grpc.py HOST:PORT MODEL IMAGES.npy APPLICATION
"""

import asyncio
import queue
import sys

import grpc
import numpy as np
import tritonclient.grpc.aio
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from tritonclient.grpc import InferenceServerClient, InferInput, InferRequestedOutput
from tritonclient.utils import InferenceServerException

url, model, file, application = sys.argv[1:]
images = np.load(file)
client = InferenceServerClient(url)
of = {"headers": {"application": application}}  # which is needed only beside other applications

assert client.is_server_live(**of) and client.is_server_ready(**of)
assert client.is_model_ready(model, **of)
assert client.get_server_metadata(**of).name == "gati"
metadata = client.get_model_metadata(model, **of)
assert [tensor.name for tensor in metadata.outputs] == ["probabilities", "label"]
config = client.get_model_config(model, as_json=True, **of)["config"]
assert config["max_batch_size"] > 1 and config["input"][0]["data_type"] == "TYPE_UINT8"
assert client.get_model_repository_index(**of).models[0].state == "READY"


def given(kind=InferInput) -> list[InferInput]:
    return [kind("image", list(images.shape), "UINT8").set_data_from_numpy(images)]


def check(result) -> list[bytes]:
    scores, labels = result.as_numpy("probabilities"), result.as_numpy("label")
    assert scores.dtype == np.float32 and scores.shape == (len(images), 10)
    assert np.allclose(scores.sum(1), 1, atol=1e-3)
    assert labels.shape == (len(images),)
    return labels.tolist()


expected = check(client.infer(model, given(), **of))
outputs = [InferRequestedOutput(name) for name in ("label", "probabilities")]
found = client.infer(model, given(), outputs=outputs, request_id="7", **of)
assert check(found) == expected
assert found.get_response().id == "7"
assert [output.name for output in found.get_response().outputs] == ["label", "probabilities"]
best = client.infer(
    model, given(), outputs=[InferRequestedOutput("probabilities", class_count=2)], **of
).as_numpy("probabilities")
assert [one.split(b":")[2] for one in best[:, 0]] == expected

answers: queue.Queue = queue.Queue()
for i in range(8):
    client.async_infer(
        model, given(), lambda result, error: answers.put((result, error)), sequence_id=i + 1, **of
    )
for _ in range(8):
    result, error = answers.get(timeout=60)
    assert error is None and check(result) == expected, error

client.start_stream(lambda result, error: answers.put((result, error)), **of)
for name in (model, "nobody", model):
    client.async_stream_infer(name, given(), request_id=name)
told = [answers.get(timeout=60) for _ in range(3)]
client.stop_stream()
assert [error is None for _, error in told] == [True, False, True], told
assert check(told[2][0]) == expected


async def asynchronous() -> None:
    async with tritonclient.grpc.aio.InferenceServerClient(url) as client:
        assert check(await client.infer(model, given(), **of)) == expected


asyncio.run(asynchronous())

statistics = client.get_inference_statistics(model, **of).model_stats[0]
assert statistics.inference_count >= 11 * len(images)

for wrong, status in (
    (lambda: client.infer("nobody", given(), **of), "NOT_FOUND"),
    (
        lambda: client.infer(model, given(), outputs=[InferRequestedOutput("nothing")], **of),
        "INVALID_ARGUMENT",
    ),
    (lambda: client.infer(model, given(), client_timeout=1e-4, **of), "DEADLINE_EXCEEDED"),
):
    try:
        wrong()
    except InferenceServerException as error:
        assert status in error.status() or status == "DEADLINE_EXCEEDED", error
        assert error.message()
    else:
        raise AssertionError("no error")

with grpc.insecure_channel(url) as channel:
    ask = channel.unary_unary(
        "/inference.GRPCInferenceService/ServerLive",
        request_serializer=bytes,
        response_deserializer=bytes,
    )
    metadata = [("application", application), ("x-request-id", "mine")]
    _, call = ask.with_call(b"", metadata=metadata)
    assert ("x-request-id", "mine") in [tuple(pair) for pair in call.trailing_metadata()]
    _, call = ask.with_call(b"", metadata=metadata[:1])
    assert dict(tuple(pair) for pair in call.trailing_metadata())["x-request-id"]
    stub = reflection_pb2_grpc.ServerReflectionStub(channel)
    wanted = reflection_pb2.ServerReflectionRequest(list_services="")
    (listed,) = stub.ServerReflectionInfo(iter([wanted]), metadata=metadata)
    services = [service.name for service in listed.list_services_response.service]
    assert "inference.GRPCInferenceService" in services, services
client.close()
