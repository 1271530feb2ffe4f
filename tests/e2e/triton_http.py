"""`tritonclient.http` as a user calls it; ends with an error if an answer is not right.

Usage: triton_http.py HOST:PORT MODEL IMAGES.npy
"""

import sys

import numpy as np
from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput
from tritonclient.utils import InferenceServerException

url, model, file = sys.argv[1:]
images = np.load(file)
client = InferenceServerClient(url, concurrency=4)

assert client.is_server_live() and client.is_server_ready() and client.is_model_ready(model)
assert client.get_server_metadata()["name"] == "gati"
metadata = client.get_model_metadata(model)
assert [tensor["name"] for tensor in metadata["outputs"]] == ["probabilities", "label"]
assert client.get_model_config(model)["max_batch_size"] > 1
assert client.get_model_repository_index()[0]["state"] == "READY"


def given(binary: bool) -> list[InferInput]:
    tensor = InferInput("image", list(images.shape), "UINT8")
    return [tensor.set_data_from_numpy(images, binary_data=binary)]


def check(result) -> list[bytes]:
    scores, labels = result.as_numpy("probabilities"), result.as_numpy("label")
    assert scores.dtype == np.float32 and scores.shape == (len(images), 10)
    assert np.allclose(scores.sum(1), 1, atol=1e-3)
    assert labels.shape == (len(images),)
    return [label if isinstance(label, bytes) else label.encode() for label in labels]


expected = check(client.infer(model, given(True)))
for as_bytes in (True, False):
    for out in (True, False):
        outputs = [InferRequestedOutput(name, out) for name in ("label", "probabilities")]
        found = client.infer(model, given(as_bytes), outputs=outputs, request_id="7")
        assert check(found) == expected
        assert found.get_response()["id"] == "7"
        names = [output["name"] for output in found.get_response()["outputs"]]
        assert names == ["label", "probabilities"]
waiting = [client.async_infer(model, given(True), sequence_id=i + 1) for i in range(8)]
assert all(check(one.get_result()) == expected for one in waiting)
for algorithm in ("gzip", "deflate"):
    found = client.infer(
        model, given(True), request_compression_algorithm=algorithm, headers={"X-Stream": "a"}
    )
    assert check(found) == expected

best = client.infer(
    model, given(True), outputs=[InferRequestedOutput("probabilities", class_count=2)]
).as_numpy("probabilities")
assert best.shape == (len(images), 2)
assert [one.split(b":")[2] for one in best[:, 0]] == expected

statistics = client.get_inference_statistics(model)["model_stats"][0]
assert statistics["inference_count"] >= 13 * len(images)
assert client.get_inference_statistics()["model_stats"][0]["name"] == model

for wrong in (
    lambda: client.infer("nobody", given(True)),
    lambda: client.infer(model, given(True), outputs=[InferRequestedOutput("nothing")]),
    lambda: client.get_model_metadata("nobody"),
):
    try:
        wrong()
    except InferenceServerException as error:
        assert error.status() in ("404", "422"), error
        assert "there" in error.message(), error
    else:
        raise AssertionError("no error")
client.close()
