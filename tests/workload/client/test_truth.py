"""What is computed of a picture is computed once, and then known from disk."""

import numpy as np

from workload.client.truth import remembered

PICTURES = [np.full((4, 4, 1), i, np.uint8) for i in range(200)]


def test_what_is_known_of_a_picture_is_not_computed_again(tmp_path, monkeypatch):
    monkeypatch.setenv("GATI_HOME", str(tmp_path))
    asked = []

    def answer(part):
        asked.append(len(part))
        return part[:, 0, 0, :] % 5

    for _ in range(2):
        labels = remembered(PICTURES, answer, "model", "answers", ("label",))
        assert labels[:, 0].tolist() == [i % 5 for i in range(200)]
    assert sum(asked) == 200
    remembered(PICTURES, answer, "another", "answers", ("label",))
    assert sum(asked) == 400
