"""Sounds and texts are answered as pictures are, and refused with what they may be."""

import numpy as np
import pytest

from cache_models.network.description import ModelDescription
from cache_models.network.tokens import Tokens
from cache_models.network.waveform import Waveform
from deployments.ingress.inputs import Inputs
from tests.cache_models.network.test_waveform import file as sound
from tests.cache_models.network.test_waveform import tone
from tests.deployments.ingress.test_endpoints import Client, FakeService

tokenizers = pytest.importorskip("tokenizers")


class Reads(FakeService):
    """Keeps what it was asked about."""

    def __init__(self, reader, input_shape):
        super().__init__()
        self.description = ModelDescription(input_shape, ("cat", "dog"), reader=reader)
        self.inputs, self.given = Inputs(self.description, self.limits, self.workers), []

    async def answer(self, given, *more):
        self.given.append(given.batch)
        return await super().answer(given, *more)


@pytest.fixture
def sounds():
    return Reads(Waveform(16_000, 16_000), (16_000,))


@pytest.fixture
def texts(tmp_path):
    words = ["[PAD]", "[UNK]", "yes", "no", "déjà"]
    model = tokenizers.models.WordLevel({word: i for i, word in enumerate(words)}, "[UNK]")
    tokenizer = tokenizers.Tokenizer(model)
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    return Reads(Tokens(str(tmp_path / "tokenizer.json"), 4, ("input_ids",)), (1, 4))


@pytest.mark.parametrize("how", [{}, {"format": "FLAC"}, {"format": "OGG", "subtype": "VORBIS"}])
def test_a_sound_is_answered_raw_and_in_a_form(sounds, how):
    body, expected = sound(tone(44_100, 3.0), 44_100, **how), Waveform(16_000, 16_000)
    client = Client(sounds)
    answers = [
        client.post("/predict", content=body, headers={"Content-Type": "audio/wav"}),
        client.post("/predict", content=body),
        client.post("/predict", files={"sound": ("a.wav", body)}),
    ]
    assert [answer.json()["label"] for answer in answers] == ["dog"] * 3
    for given in sounds.given:
        assert np.array_equal(given, expected.read(body)[None])


@pytest.mark.parametrize(
    "body, status, says",
    [
        (b"", 415, "WAV, FLAC, OGG"),
        (b"RIFFnothing", 415, "WAV, FLAC, OGG"),
        (sound(np.zeros((9, 9), "f4"), 16_000), 422, "9 channels"),
    ],
)
def test_what_is_no_sound_is_refused(sounds, body, status, says):
    answer = Client(sounds).post("/predict", content=body)
    assert answer.status_code == status and says in answer.json()["error"]


@pytest.mark.parametrize(
    "request_",
    [
        {"json": {"text": "yes déjà"}},
        {"content": "yes déjà".encode()},
        {"content": "yes déjà".encode(), "headers": {"Content-Type": "text/plain"}},
        {
            "content": "yes déjà".encode("latin-1"),
            "headers": {"Content-Type": "text/plain; charset=ISO-8859-1"},
        },
        {"files": {"text": (None, "yes déjà")}},
    ],
)
def test_a_text_is_answered_however_it_comes(texts, request_):
    answer = Client(texts).post("/predict", **request_)
    assert answer.status_code == 200, answer.text
    assert texts.given[0].tolist() == [[[2, 4, 0, 0]]]


@pytest.mark.parametrize(
    "request_, status, says",
    [
        ({"content": b""}, 422, "empty"),
        ({"json": {"text": " "}}, 422, "empty"),
        ({"json": {"txt": "yes"}}, 400, "text"),
        ({"json": {"text": 7}}, 400, "text"),
        ({"json": ["yes"]}, 400, "the body"),
        ({"content": b"\xff\xfe yes"}, 422, "utf-8"),
        ({"content": b"yes", "headers": {"Content-Type": "text/plain; charset=no"}}, 415, "no"),
        ({"files": {"sound": ("a.wav", b"yes")}}, 422, "text"),
    ],
)
def test_what_is_no_text_is_refused(texts, request_, status, says):
    answer = Client(texts).post("/predict", **request_)
    assert answer.status_code == status, answer.text
    assert says in answer.json()["error"]


def test_the_schema_says_what_the_model_takes(sounds, texts):
    taken = [
        Client(service)
        .get("/openapi.json")
        .json()["paths"]["/predict"]["post"]["requestBody"]["content"]
        for service in (sounds, texts)
    ]
    assert "audio/flac" in taken[0] and "application/json" in taken[1]
