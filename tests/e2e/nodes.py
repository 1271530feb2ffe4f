"""A Ray cluster of several nodes on this machine, in a process of its own, for Ray reads its
environment once: a head node without processors, and others, each with a `GATI_HOME`.

`python -m tests.e2e.nodes <GCS port> <dashboard port> <home> <nodes>` prints the ids of the others
as JSON. A line on its input, which is one of them, kills that node; at the end of the input all go.
"""

import json
import signal
import sys

from ray.cluster_utils import Cluster


def main(gcs: int, dashboard: int, home: str, count: int) -> None:
    ports = {"gcs_server_port": gcs, "dashboard_port": dashboard}
    cluster = Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": 0, "include_dashboard": True, **ports}
        | {"env_vars": {"GATI_HOME": f"{home}/head"}},
    )
    try:
        nodes = {}
        for i in range(count):
            node = cluster.add_node(num_cpus=2, env_vars={"GATI_HOME": f"{home}/node-{i}"})
            nodes[node.node_id] = node
        print(json.dumps(list(nodes)), flush=True)
        for line in sys.stdin:
            cluster.remove_node(nodes[line.strip()], allow_graceful=False)
            print(json.dumps(line.strip()), flush=True)
    finally:
        cluster.shutdown()


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever interrupts the tests closes the input
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
