"""The trainer's file, as the configuration wants it."""

from cache_models.follow.elsewhere import KeptElsewhere, restore
from cache_models.follow.traffic_log import TrafficLog
from cache_models.store.plan import Plan
from cache_models.store.versions import Store
from deployments.config import AppArgs

FILE = "traffic.sqlite"


def open_log(args: AppArgs, plan: Plan) -> TrafficLog:
    """Of the deployed `plan`; without inputs, where none are to be kept. Of a store that lies
    elsewhere it is on this node, and kept there.

    Raises:
        ArtifactError: the store does not say what the trainer knew.
    """
    store, retraining = Store(args.store), args.retraining
    file = store.folder / FILE
    restore(store, file)
    log = TrafficLog(
        file,
        [cache.feature_shape for cache in plan.caches],
        len(plan.description.classes),
        retraining.window,
        retraining.expire_s,
        retraining.max_log_bytes,
        retraining.reservoir_bytes,
        description=plan.description,
        fingerprint=plan.fingerprint,
        past=plan.remembers,
    )
    if store.mirror is not None:
        log.elsewhere = KeptElsewhere(store, log, file, retraining.save_s)
    if retraining.keep == "features":
        log.delete_samples(with_inputs=True)
    return log
