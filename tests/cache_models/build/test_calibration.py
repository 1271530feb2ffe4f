"""What computing in half precision changes of the base DNN's answers counts in the promise."""

import numpy as np
import pytest

from cache_models.build.calibration import check_dtype
from cache_models.data.recording import Recording, record
from cache_models.errors import DataError
from cache_models.network.base_dnn import load
from cache_models.network.cutting import cut
from cache_models.promise.promise import Limits, calibrate
from tests.tiny import images

LIMITS = Limits(max_disagreement=0.02, max_class_disagreement=0.5)
ANSWERS = np.arange(1000) % 4
NEVER_WRONG = [ANSWERS], [np.where(ANSWERS == 0, 0.9999, 0.0)]


def flipped(count: int) -> np.ndarray:
    given = ANSWERS.copy()
    given[1 : 4 * count : 4] += 1  # of requests that miss
    return given


def test_a_miss_that_partitions_answer_otherwise_is_wrong():
    promised = calibrate(*NEVER_WRONG, ANSWERS, 4, LIMITS, given=flipped(3))
    assert promised.threshold is not None
    assert promised.disagreements == 3
    assert calibrate(*NEVER_WRONG, ANSWERS, 4, LIMITS).disagreements == 0
    assert calibrate(*NEVER_WRONG, ANSWERS, 4, LIMITS, given=flipped(40)).threshold is None


def test_a_hit_that_is_right_makes_good_what_partitions_would_have_answered():
    given = ANSWERS.copy()
    given[::4] = 1  # these hit
    assert calibrate(*NEVER_WRONG, ANSWERS, 4, LIMITS, given=given).disagreements == 0


def test_a_dtype_that_breaks_the_promise_by_itself_is_refused():
    def recorded(given: np.ndarray | None) -> Recording:
        return Recording({}, np.eye(4, dtype=np.float32)[ANSWERS], "", given)

    everything = np.arange(len(ANSWERS))
    check_dtype(recorded(None), everything, LIMITS, "float32")
    check_dtype(recorded(flipped(3)), everything, LIMITS, "float16")
    with pytest.raises(DataError, match=r"float16 changes 40 of 1000 .* --dtype float32"):
        check_dtype(recorded(flipped(40)), everything, LIMITS, "float16")


def test_features_are_those_of_the_dtype_and_truth_is_float32(tmp_path):
    base, given = load("tests.tiny:tiny"), images(300)
    model = cut(base)
    names = ["blocks.0.1"]
    exact = record(base, model, names, given, tmp_path / "exact")
    served = record(base, model, names, given, tmp_path / "served", dtype="bfloat16")
    assert np.array_equal(served.probabilities, exact.probabilities)
    assert not np.array_equal(served.features[names[0]], exact.features[names[0]])
    assert np.allclose(served.features[names[0]], exact.features[names[0]], atol=0.1)
    assert np.mean(served.given == exact.answers) > 0
