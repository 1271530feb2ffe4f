import pytest

from deployments.metrics import recorder
from tests.deployments.metrics.fake_ray import Metrics


@pytest.fixture
def ray_metrics(monkeypatch):
    """In place of Ray's."""
    metrics = Metrics()
    monkeypatch.setattr(recorder, "metrics", metrics)
    return metrics
