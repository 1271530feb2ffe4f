"""The whole base DNN behind one function answers as itself."""

from cache_models.bench.evaluation import base_answers
from cache_models.network.base_dnn import load
from tests.tiny import images
from workload.client.protocols import png
from workload.compare.systems.whole import Whole

TINY = "tests.tiny:tiny"


def test_the_whole_base_dnn_answers_as_itself():
    pictures = images(20)
    whole = Whole(TINY, "cpu", 1)
    given = [whole.answer(png(picture)) for picture in pictures]
    assert [a["class_id"] for a in given] == base_answers(load(TINY), pictures).tolist()
    assert {a["exit"] for a in given} == {"base"}
    eager = Whole(TINY, "cpu", 1, eager=True)
    assert [eager.answer(png(p))["class_id"] for p in pictures] == [a["class_id"] for a in given]
