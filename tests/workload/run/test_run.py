"""A whole run against a server that says what the test wants."""

import io
import json

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from cache_models.bench.evaluation import base_answers
from cache_models.bench.in_process import InProcess
from cache_models.cache.learned_cache import LearnedCache
from cache_models.cache.variant import Variant
from cache_models.network.base_dnn import load
from cache_models.network.cutting import cut
from cache_models.network.features import feature_shape
from cache_models.network.pooling import extract
from cache_models.store.versions import Store
from tests import tiny
from tests.plans import plan_for
from tests.workload.fake_server import serving
from workload.__main__ import cli
from workload.run.offline import static_labels, static_of
from workload.run.stream import make_stream
from workload.traffic.data import open_data
from workload.traffic.kept import LISTED

MODEL = "tests.tiny:tiny"


@pytest.fixture
def base():
    return load(MODEL)


@pytest.fixture
def data(tmp_path, base, monkeypatch):
    """Pictures whose true labels are the base DNN's own but for every tenth."""
    monkeypatch.setenv("GATI_HOME", str(tmp_path / "home"))
    images = tiny.images(300)
    with torch.inference_mode():
        labels = base.module(base.inputs(images)).argmax(1).numpy()
    truth = np.where(np.arange(300) % 10 == 0, (labels + 1) % 4, labels)
    np.savez(tmp_path / "data.npz", images=images, labels=truth)
    return tmp_path / "data.npz"


def server_of(base, wrong_every=7):
    """As the base DNN, but every seventh cached answer is wrong."""
    seen = []

    def answer(path, sent):
        pixels = np.asarray(Image.open(io.BytesIO(sent)))[None, ..., None]
        with torch.inference_mode():
            label = int(base.module(base.inputs(pixels)).argmax())
        seen.append(path)
        if path.endswith("?cache=off"):
            return {"class_id": label, "exit": "base"}
        if len(seen) % wrong_every == 0:
            label = (label + 1) % 4
        return {"class_id": label, "exit": "stem", "cache_version": 3, "latency_ms": 1.0}

    return answer


def run(url, data, *options):
    out = data.parent / "run.json"
    arguments = ["run", "--url", url, "--model", MODEL, "--data", str(data), "--out", str(out)]
    result = CliRunner().invoke(cli, [*arguments, *options], catch_exceptions=False)
    return result, json.loads(out.read_text()) if out.exists() else None


def test_a_run_is_judged_by_the_base_dnn_and_by_true_labels(base, data, tmp_path):
    trace, picture = tmp_path / "t.jsonl", tmp_path / "run.png"
    with serving(server_of(base)) as url:
        done, result = run(
            *(url, data, "--stream", "iid", "--requests", "210", "--clients", "1"),
            *("--trace", str(trace), "--picture", str(picture)),
        )
    assert done.exit_code == 0, done.output
    assert (result["answered"], result["wrong"], result["judged"]) == (210, 30, 210)
    assert result["hit_rate"] == 1 and result["versions"] == [3] and result["varied"] == 0
    assert abs(result["base_accuracy"] - 0.9) < 0.05
    assert result["accuracy"] < result["base_accuracy"]
    assert result["locality"]["reuse_distance_p90"] > result["locality"]["reuse_distance_p50"]
    assert "differ from the base DNN: 30 (14.29%)" in done.output
    assert len(trace.read_text().splitlines()) == 210
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("classes", ["labels", "answers"])
def test_classes_of_a_stream_are_labels_or_the_base_dnns_answers(base, data, classes):
    opened = open_data(str(data), 1)
    stream = "locality:classes=2,mean_stay=1000000"
    made = make_stream(opened, str(data), stream, 200, 0, base, classes)
    present = made.classes
    answers = base_answers(base, opened.samples[made.stream.items])
    assert len(np.unique(present)) == 2
    assert (len(np.unique(answers)) == 2) == (classes == "answers")
    assert np.array_equal(present, answers) == (classes == "answers")


def test_a_share_is_asked_again_where_the_model_is_not_at_hand(base, data):
    with serving(server_of(base)) as url:
        done, result = run(
            url, data, "--model", "nowhere:at_all", "--requests", "140", "--ask-again", "0.5"
        )
    assert done.exit_code == 0, done.output
    assert result["judged"] == 70
    assert 3 <= result["wrong"] <= 20


def test_a_replay_at_its_own_times(base, data, tmp_path):
    (tmp_path / "t.jsonl").write_text('{"time": 8, "item": 5}\n{"time": 8.25, "item": 5}\n')
    with serving(server_of(base)) as url:
        options = "--stream", f"replay:file={tmp_path}/t.jsonl", "--arrivals", "replay"
        done, result = run(url, data, *options)
    assert done.exit_code == 0, done.output
    assert result["requests"] == 2
    assert result["throughput_per_s"] < 8


def test_a_stream_is_measured_and_written_without_a_server(data, tmp_path):
    arguments = ["stream", "--model", MODEL, "--data", str(data), "--requests", "600"]
    trace = ["--arrivals", "poisson", "--rate", "9", "--trace", str(tmp_path / "t.jsonl")]
    done = CliRunner().invoke(cli, [*arguments, "--stream", "zipf", *trace], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert "class reuse distance p50" in done.output and "varied copies" in done.output
    assert len((tmp_path / "t.jsonl").read_text().splitlines()) == 600


def test_requests_with_keys_are_kept_with_their_times(data, tmp_path):
    arguments = ["stream", "--model", MODEL, "--data", str(data), "--requests", "50"]
    arguments += ["--stream", "users:users=5,at_once=2", "--no-answers"]
    arguments += ["--keep", str(tmp_path / "kept")]
    done = CliRunner().invoke(cli, arguments)
    assert done.exit_code == 2 and "need a rate" in done.output
    assert not (tmp_path / "kept").exists()
    done = CliRunner().invoke(cli, [*arguments, "--rate", "4"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    rows = [json.loads(line) for line in (tmp_path / "kept" / LISTED).read_text().splitlines()]
    assert [row["at"] for row in rows[:3]] == [0, 0.25, 0.5]
    assert {row["stream"] for row in rows} <= {f"user-{i}" for i in range(5)}


def published(base, folder):
    """A store of two untrained caches, of which the first accepts about half of the images."""
    torch.manual_seed(0)
    model = cut(base)
    names = [point.name for point in model.cut_points if "blocks" in point.name][:2]
    variant, caches = Variant(family="pool", size=2), {}
    plan = plan_for(names, tiny.CLASSES, variant=variant, compute_share=0.4)
    plan.fingerprint, plan.description = base.fingerprint(), base.description
    for record in plan.caches:
        record.feature_shape = feature_shape(model[record.cut_point].shape)
        caches[record.file] = LearnedCache(variant, record.feature_shape, 4).eval()
    with torch.inference_mode():
        inputs = base.inputs(tiny.images(300))
        features = extract(model.slices(names[:1])[0](inputs))
        confidences = caches[plan.caches[0].file](features)[1]
    plan.promise.threshold = float(confidences.median())
    return Store(folder).publish(plan, caches)


def test_static_caches_answer_offline_as_the_cascade_does(base, data, tmp_path):
    version = published(base, tmp_path / "store")
    images = tiny.images(60, seed=1)
    truth = base_answers(base, images)
    static = static_of(version, static_labels(base, version)(images), truth)
    place = InProcess(base, version)
    for image, exit, label in zip(images, static.exits, static.class_ids, strict=True):
        expected = place.answer(image[None])
        assert [(label, exit)] == list(zip(expected.class_ids, expected.exits, strict=True))
    assert len(set(static.exits)) > 1

    with serving(server_of(base)) as url:
        done, result = run(url, data, "--requests", "100", "--static", str(tmp_path / "store"))
    assert done.exit_code == 0, done.output
    assert result["static"]["wrong"] > 0 and result["static"]["version"] == 1
    assert result["static"]["exits"].keys() <= {*version.plan.cut_points, "base"}
    assert result["judged"] == 100 and "static caches, offline" in done.output


@pytest.mark.parametrize("protocol", ["predict", "oip"])
def test_texts_of_users_are_sent_and_judged(tmp_path, monkeypatch, protocol):
    monkeypatch.setenv("GATI_HOME", str(tmp_path / "home"))
    said = ["some rain", "rain and rain", "snow", "some snow", "sun", "sun and sun"]
    (tmp_path / "t.txt").write_text("\n".join(said))

    def answer(_, sent):
        if protocol == "predict":
            text = json.loads(sent)["text"]
            return {"class_id": ("rain" in text, "snow" in text, "sun" in text).index(True)}
        ids = json.loads(sent)["inputs"][0]["data"]
        scores = [float(word in ids) for word in (2, 3, 4)]
        return {"outputs": [{"name": "probabilities", "data": scores}], "parameters": {}}

    def whole(path, sent):
        given = answer(path, sent) | {"exit": "base"}
        return given | {"parameters": {"exits": "base"}}

    with serving(whole) as url:
        result = CliRunner().invoke(
            cli,
            [
                *("run", "--url", url, "--model", "tests.heard:weather", "--protocol", protocol),
                *("--data", str(tmp_path / "t.txt"), "--stream", "users:topics=1,users=5"),
                *("--requests", "40", "--out", str(tmp_path / "run.json")),
            ],
            catch_exceptions=False,
        )
    assert result.exit_code == 0, result.output
    found = json.loads((tmp_path / "run.json").read_text())
    assert (found["answered"], found["wrong"], found["keys"]) == (40, 0, True)
    assert found["locality"]["same_as_keys_last"] == 1
    assert "of 5 keys in 100.0%: it never changes" in result.output


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--stream", "zipf", "--arrivals", "poisson"], "need a rate"),
        (["--stream", "zopf"], "none of iid"),
        (["--requests", "5", "--skip", "5"], "leaves nothing of 5"),
        (["--data", "nowhere"], "is not there"),
        (["--static", ".", "--ask-again", "0.1"], "needs the base DNN"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_sent(data, options, says):
    done, result = run("http://127.0.0.1:9", data, *options)
    assert done.exit_code == 2 and result is None
    assert says in " ".join(done.output.replace("│", " ").split())
