"""Sounds and texts to learn from are what serving makes of them."""

import json

import numpy as np
import pytest

from cache_models.data.samples import open_samples
from cache_models.errors import DataError
from cache_models.network.description import ModelDescription
from cache_models.network.tokens import Tokens
from cache_models.network.waveform import Waveform
from tests.cache_models.network.test_waveform import file, tone

tokenizers = pytest.importorskip("tokenizers")

SOUNDS = ModelDescription((16_000,), ("a", "b"), reader=Waveform(16_000, 16_000))


@pytest.fixture
def texts(tmp_path):
    model = tokenizers.models.WordLevel({"[PAD]": 0, "[UNK]": 1, "yes": 2, "no": 3}, "[UNK]")
    tokenizer = tokenizers.Tokenizer(model)
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    tokens = Tokens(str(tmp_path / "tokenizer.json"), 3, ("input_ids",))
    return ModelDescription((1, 3), ("a", "b"), reader=tokens)


def test_a_folder_of_sounds_is_read_and_what_is_none_is_named(tmp_path):
    (tmp_path / "in" / "yes").mkdir(parents=True)
    (tmp_path / "in" / "yes" / "b.wav").write_bytes(file(tone(16_000), 16_000))
    (tmp_path / "in" / "a.FLAC").write_bytes(file(tone(44_100, 2.0), 44_100, format="FLAC"))
    (tmp_path / "in" / "c.ogg").write_bytes(b"no sound")
    (tmp_path / "in" / "notes.txt").write_text("not looked at")
    samples = open_samples(str(tmp_path / "in"), SOUNDS, tmp_path / "work")
    expected = [SOUNDS.reader.read(tmp_path / "in" / name) for name in ("a.FLAC", "yes/b.wav")]
    assert np.array_equal(samples.images, expected)
    (skipped,) = samples.skipped
    assert "c.ogg" in skipped and "WAV" in skipped


@pytest.mark.parametrize("form", ["txt", "jsonl"])
def test_a_file_of_texts_is_read_line_by_line(tmp_path, texts, form):
    lines = ["yes no", "", "no"]
    if form == "jsonl":
        lines = [json.dumps({"text": line, "label": 1}) for line in lines]
    (tmp_path / f"a.{form}").write_text("\n".join(lines) + "\n")
    samples = open_samples(str(tmp_path / f"a.{form}"), texts, tmp_path / "work")
    assert samples.images.tolist() == [[[2, 3, 0]], [[3, 0, 0]]]
    (skipped,) = samples.skipped
    assert "line 2" in skipped and "empty" in skipped


def test_a_line_that_is_no_text_is_named(tmp_path, texts):
    (tmp_path / "a.jsonl").write_text('{"text": "yes"}\n{"txt": "no"}\n')
    with pytest.raises(DataError, match="line 2"):
        open_samples(str(tmp_path / "a.jsonl"), texts, tmp_path / "work")


@pytest.mark.parametrize("form", ["txt", "jsonl"])
def test_texts_that_are_not_utf_8_are_refused(tmp_path, texts, form):
    (tmp_path / f"a.{form}").write_bytes('{"text": "café"}\n'.encode("latin1"))
    with pytest.raises(DataError, match=r"UTF-8.*iconv"):
        open_samples(str(tmp_path / f"a.{form}"), texts, tmp_path / "work")


def test_a_byte_order_mark_and_another_systems_line_ends_are_no_text(tmp_path, texts):
    (tmp_path / "a.jsonl").write_bytes(b'\xef\xbb\xbf{"text": "yes"}\r\n{"text": "no"}\r\n')
    samples = open_samples(str(tmp_path / "a.jsonl"), texts, tmp_path / "work")
    assert samples.images.tolist() == [[[2, 0, 0]], [[3, 0, 0]]]


def test_a_line_separator_within_a_text_ends_no_line(tmp_path, texts):
    line = json.dumps({"text": "yes\u2028no"}, ensure_ascii=False)
    (tmp_path / "a.jsonl").write_text(f"{line}\n", "utf-8")
    samples = open_samples(str(tmp_path / "a.jsonl"), texts, tmp_path / "work")
    assert samples.images.tolist() == [[[2, 3, 0]]]


def test_a_text_that_is_no_string_is_named(tmp_path, texts):
    (tmp_path / "a.jsonl").write_text('{"text": "yes"}\n{"text": 5}\n')
    with pytest.raises(DataError, match=r"line 2.*string"):
        open_samples(str(tmp_path / "a.jsonl"), texts, tmp_path / "work")


def test_files_that_are_listed_come_in_that_order_and_what_is_not_there_is_named(tmp_path):
    (tmp_path / "b.wav").write_bytes(file(tone(16_000), 16_000))
    (tmp_path / "a.wav").write_bytes(file(tone(16_000) / 2, 16_000))
    listed = tmp_path / "some.jsonl"
    listed.write_text('{"file": "b.wav"}\n{"file": "c.wav"}\n{"file": "a.wav"}\n')
    samples = open_samples(str(listed), SOUNDS, tmp_path / "work")
    expected = [SOUNDS.reader.read(tmp_path / name) for name in ("b.wav", "a.wav")]
    assert np.array_equal(samples.images, expected)
    assert len(samples.skipped) == 1 and "c.wav" in samples.skipped[0]
    listed.write_text('{"file": "b.wav"}\n{"text": "yes"}\n')
    with pytest.raises(DataError, match=r"line 2.*\"file\""):
        open_samples(str(listed), SOUNDS, tmp_path / "work")


def test_what_cannot_be_read_takes_no_others_stream_away(tmp_path):
    lines = []
    for i, name in enumerate(["a.wav", "gone.wav", "b.wav"]):
        if i != 1:
            (tmp_path / name).write_bytes(file(tone(16_000), 16_000))
        lines.append(json.dumps({"file": name, "stream": "xyx"[i], "at": i}))
    listed = tmp_path / "some.jsonl"
    listed.write_text("\n".join(lines))
    samples = open_samples(str(listed), SOUNDS, tmp_path / "work")
    assert len(samples.skipped) == 1 and len(samples.images) == 2
    assert samples.streams.keys.tolist() == [0, 0]
    assert samples.streams.at.tolist() == [0.0, 2.0]


def test_a_folder_without_sounds_is_refused(tmp_path):
    (tmp_path / "in").mkdir()
    with pytest.raises(DataError):
        open_samples(str(tmp_path / "in"), SOUNDS, tmp_path / "work")
