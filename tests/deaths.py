"""How what should run for as long as a replica does ends all the same."""

import threading
import time

from deployments.graph.compute import ComputeThread


def end(compute: ComputeThread) -> None:
    """As an error would that nothing catches."""

    def raises(_) -> None:
        raise SystemExit

    go = threading.Event()
    compute.submit(go.wait).add_done_callback(raises)
    go.set()
    deadline = time.monotonic() + 30
    while compute._thread.is_alive():
        assert time.monotonic() < deadline
        time.sleep(0.001)
