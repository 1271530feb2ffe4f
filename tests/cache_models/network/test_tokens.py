"""A text gives what its tokenizer says, at a fixed length."""

import numpy as np
import pytest

from cache_models.errors import DataError, ModelReferenceError
from cache_models.network.tokens import CHARACTERS, Tokens

tokenizers = pytest.importorskip("tokenizers")


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """Words by their number, begun by `[CLS]`."""
    words = ["[PAD]", "[UNK]", "[CLS]", *(f"w{i}" for i in range(3, 40_000))]
    model = tokenizers.models.WordLevel({word: i for i, word in enumerate(words)}, "[UNK]")
    tokenizer = tokenizers.Tokenizer(model)
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    tokenizer.post_processor = tokenizers.processors.TemplateProcessing(
        single="[CLS] $A", special_tokens=[("[CLS]", 2)]
    )
    path = tmp_path_factory.mktemp("tokens") / "tokenizer.json"
    tokenizer.save(str(path))
    return str(path)


def test_a_short_text_is_padded_and_a_long_one_cut(file):
    tokens = Tokens(file, 5)
    assert tokens.read("w7 w39999").tolist() == [[2, 7, 39_999, 0, 0], [1, 1, 1, 0, 0]]
    ids, mask = tokens.read(" ".join(f"w{i}" for i in range(3, 300)))
    assert ids.tolist() == [2, 3, 4, 5, 6] and mask.all()


def test_inputs_come_in_the_modules_order(file):
    tokens = Tokens(file, 4, ("attention_mask", "input_ids", "token_type_ids"))
    read = tokens.read("w9 nobody")
    assert read.tolist() == [[1, 1, 1, 0], [2, 9, 1, 0], [0, 0, 0, 0]]
    assert read.dtype == np.float32


def test_of_an_endless_text_the_begin_is_read(file):
    text = "w7 " * 10_000_000
    assert np.array_equal(Tokens(file, 8).read(text), Tokens(file, 8).read(text[: CHARACTERS * 8]))


@pytest.mark.parametrize("text", ["", "  \n"])
def test_an_empty_text_is_refused(file, text):
    with pytest.raises(DataError, match="empty"):
        Tokens(file, 4).read(text)


@pytest.mark.parametrize("reference", ["/nowhere/tokenizer.json", "no_such_package:a.json"])
def test_a_tokenizer_that_is_not_there_is_named(reference):
    with pytest.raises(ModelReferenceError, match="tokenizer"):
        Tokens(reference, 4).read("w7")
