"""The walk of a request through the stages of a base DNN that was cut for caches."""

from cache_models.cascade.now import run_now
from cache_models.cascade.place import Gone, Observer, Place, Speculation
from cache_models.cascade.request import Answers, Control, Said, Trace
from cache_models.cascade.under_way import UnderWay
from cache_models.cascade.walk import Cascade

__all__ = [
    "Answers",
    "Cascade",
    "Control",
    "Gone",
    "Observer",
    "Place",
    "Said",
    "Speculation",
    "Trace",
    "UnderWay",
    "run_now",
]
