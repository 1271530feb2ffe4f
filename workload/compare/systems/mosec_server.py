"""The base DNN in mosec: `python -m workload.compare.systems.mosec_server --port …`.

mosec reads its own options from the command line and makes workers without arguments, so what they
serve comes from the environment.
"""

import os
from pathlib import Path
from typing import Any

from mosec import Server, Worker

from workload.compare.systems.mosec_server_names import DEVICE, STORE, THREADS


class Model(Worker):
    def __init__(self) -> None:
        super().__init__()
        from workload.compare.systems.whole import Whole

        said = os.environ
        self._whole = Whole(Path(said[STORE]), said[DEVICE], int(said[THREADS]))

    def deserialize(self, data: bytes) -> bytes:
        return data

    def forward(self, data: bytes) -> dict[str, Any]:
        return self._whole.answer(data)


def main() -> None:
    server = Server()
    server.append_worker(Model, num=1, route="/predict")
    server.run()


if __name__ == "__main__":
    main()
