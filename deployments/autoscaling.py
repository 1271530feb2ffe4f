"""A policy for Serve's autoscaling that sees the lane, too.

autoscaling_config:
  min_replicas: 1
  max_replicas: 4
  target_ongoing_requests: 2
  policy: { policy_function: "deployments.autoscaling:by_ongoing" }
"""

from ray.serve.config import AutoscalingContext


def by_ongoing(context: AutoscalingContext) -> tuple[float, dict]:
    """As many replicas as keep each at `target_ongoing_requests`, counting what is computed or
    waits in the replicas however it came, and what waits at handles. Serve applies the
    configuration's delays, factors and bounds."""
    in_replicas = (context.aggregated_metrics or {}).get("ongoing", {})
    ongoing = sum(in_replicas.values()) + (context.total_queued_requests or 0.0)
    return ongoing / context.config.get_target_ongoing_requests(), {}
