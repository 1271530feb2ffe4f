"""The street's counter says what it lacks."""

import pytest
import torch
from safetensors.torch import save_file

from cache_models.errors import ModelReferenceError
from cache_models.zoo.street import street, weights_file


@pytest.mark.parametrize("card", [None, "{}", "{"])
def test_a_card_without_a_size_says_what_to_run(card, tmp_path, monkeypatch):
    monkeypatch.setenv("GATI_HOME", str(tmp_path))
    save_file({"weight": torch.zeros(4, 1280), "bias": torch.zeros(4)}, weights_file())
    if card is not None:
        weights_file().with_suffix(".json").write_text(card)
    with pytest.raises(ModelReferenceError, match="street train"):
        street()
