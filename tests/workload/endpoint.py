"""`python -m tests.workload.endpoint PORT`: answers every POST 10 ms after it came.

To measure what the client itself costs, each on a core of its own, beside Debian's `wrk`:

    taskset -c 1 python -m tests.workload.endpoint 8899 &
    taskset -c 0 python -m tests.workload.endpoint 8899 --ask 8
    taskset -c 0 wrk -t1 -c8 -d5s --latency -s post.lua http://127.0.0.1:8899/predict

where post.lua says `wrk.method = "POST"; wrk.body = string.rep("x", 800)`.
"""

import argparse
import asyncio
import json
import resource
import selectors

import numpy as np

DELAY_S = 0.010


class Endpoint(asyncio.Protocol):
    body = json.dumps({"class_id": 1, "exit": "base", "latency_ms": 1e3 * DELAY_S}).encode()
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)

    def connection_made(self, transport):
        self._transport, self._received = transport, b""

    def data_received(self, data):
        self._received += data
        while (end := self._received.find(b"\r\n\r\n")) >= 0:
            lines = self._received[:end].lower().split(b"\r\n")
            length = next((int(x[15:]) for x in lines if x.startswith(b"content-length:")), 0)
            if len(self._received) < end + 4 + length:
                return
            self._received = self._received[end + 4 + length :]
            asyncio.get_running_loop().call_later(DELAY_S, self._transport.write, self.answer)


async def serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Endpoint, "127.0.0.1", port)
    await server.serve_forever()


def ask(port: int, clients: int, requests: int) -> str:
    from workload.client.client import send

    image = np.random.default_rng(0).integers(0, 256, (28, 28, 1), np.uint8)
    before = resource.getrusage(resource.RUSAGE_SELF)
    pictures = (image for _ in range(requests))
    found = send(f"http://127.0.0.1:{port}", pictures, None, clients=clients, count=requests)
    after = resource.getrusage(resource.RUSAGE_SELF)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    p50, p90, p99 = np.percentile(found.latency_ms, (50, 90, 99))
    per_s = requests / (found.due_s[-1] + found.latency_ms[-1] / 1e3)
    return (
        f"{clients} clients: {per_s:.0f} requests/s, latency ms p50 {p50:.2f}, p90 {p90:.2f}, p99 "
        f"{p99:.2f}; {1e3 * cpu_s / requests:.2f} ms of CPU a request; {dict(found.errors)}"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("--ask", type=int, metavar="CLIENTS", help="send instead of answering")
    parser.add_argument("--requests", type=int, default=2000)
    given = parser.parse_args()
    if given.ask:
        print(ask(given.port, given.ask, given.requests))
    else:  # select(2) waits to the microsecond, epoll to the next millisecond
        loop = asyncio.SelectorEventLoop(selectors.SelectSelector())
        loop.run_until_complete(serve(given.port))
