"""What a user says of a module is made whole."""

import numpy as np
import pytest

from cache_models.errors import ModelReferenceError
from cache_models.network.description import ModelDescription
from cache_models.network.preprocessing import Preprocessing
from cache_models.network.tokens import Tokens
from cache_models.network.waveform import Waveform

IDS, MASK = "input_ids", "attention_mask"


def test_classes_of_one_name_are_told_apart():
    described = ModelDescription((4,), ["crane", "maillot", "crane", 7])
    assert described.classes == ("crane (0)", "maillot", "crane (2)", "7")
    again = ModelDescription((4,), described.classes)
    assert again == described


@pytest.mark.parametrize("given", [np.uint8, np.float32])
def test_inputs_are_contiguous_whatever_lies_in_memory(given):
    described = ModelDescription((3, 8, 8), ("a", "b"), Preprocessing((8, 8)))
    if given is np.uint8:
        batch = np.zeros((2, 8, 8, 3), given)
    else:
        batch = np.zeros((2, 8, 8, 3), given).transpose(0, 3, 1, 2)
    inputs = described.inputs(batch)
    assert inputs.flags.c_contiguous and inputs.shape == (2, 3, 8, 8)


def test_a_reader_and_the_modules_arguments_have_the_same_rows():
    reader = Tokens("/tokenizer.json", 8, (IDS, MASK))
    for names in ((), (IDS, MASK)):  # none: the module takes them as one tensor
        ModelDescription((2, 8), ("a", "b"), reader=reader, token_inputs=names)
    ModelDescription((2, 8), ("a", "b"), token_inputs=(MASK, IDS))  # sent as tensors


@pytest.mark.parametrize(
    ("shape", "reader", "names", "said"),
    [
        ((2, 8), Tokens("t.json", 8, (IDS, MASK)), (MASK, IDS), "the same names in the same order"),
        ((2, 8), Tokens("t.json", 8, (IDS, MASK)), (IDS, "token_type_ids"), "the same names"),
        ((2, 8), Tokens("t.json", 9), (IDS, MASK), r"\(2, 8\), but the reader makes \(2, 9\)"),
        ((1, 8), Tokens("t.json", 8), (), r"the reader makes \(2, 8\)"),
        ((800,), Waveform(8_000, 801), (), r"\(800,\), but the reader makes \(801,\)"),
        ((1, 800), Waveform(8_000, 800), (IDS,), "the reader makes none"),
        ((2, 8), None, (IDS,), r"with 1 token_inputs it is \(1, tokens\)"),
    ],
)
def test_what_contradicts_itself_is_refused(shape, reader, names, said):
    with pytest.raises(ModelReferenceError, match=said):
        ModelDescription(shape, ("a", "b"), reader=reader, token_inputs=names)
