"""The trainer's file, as the configuration wants it."""

from pathlib import Path

from cache_models.follow.traffic_log import TrafficLog
from cache_models.store.plan import Plan
from deployments.config import AppArgs

FILE = "traffic.sqlite"


def open_log(args: AppArgs, plan: Plan) -> TrafficLog:
    """Of the deployed `plan`; without inputs, where none are to be kept."""
    retraining = args.retraining
    log = TrafficLog(
        Path(args.store) / FILE,
        [cache.feature_shape for cache in plan.caches],
        len(plan.description.classes),
        retraining.window,
        retraining.expire_s,
        retraining.max_log_bytes,
        retraining.reservoir_bytes,
        description=plan.description,
    )
    if retraining.keep == "features":
        log.delete_samples(with_inputs=True)
    return log
