"""The policy sees what is in replicas, however it came, and what waits at handles."""

from ray.serve.config import AutoscalingConfig, AutoscalingContext

from deployments.autoscaling import by_ongoing


def context(ongoing, queued):
    return AutoscalingContext(
        deployment_id=None,
        deployment_name="Partition1",
        app_name="gati",
        current_num_replicas=len(ongoing),
        target_num_replicas=len(ongoing),
        running_replicas=[],
        total_num_requests=0.0,
        total_queued_requests=queued,
        aggregated_metrics={"ongoing": ongoing} if ongoing else {},
        raw_metrics=None,
        capacity_adjusted_min_replicas=1,
        capacity_adjusted_max_replicas=8,
        policy_state={},
        last_scale_up_time=None,
        last_scale_down_time=None,
        current_time=None,
        config=AutoscalingConfig(max_replicas=8, target_ongoing_requests=2),
    )


def test_replicas_follow_what_they_have_to_do():
    assert by_ongoing(context({"a": 5.0, "b": 3.0}, 0.0)) == (4.0, {})
    assert by_ongoing(context({"a": 1.0}, 3.0)) == (2.0, {})
    assert by_ongoing(context({}, None)) == (0.0, {})
