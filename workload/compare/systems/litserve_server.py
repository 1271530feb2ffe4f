"""The base DNN in LitServe: `python -m workload.compare.systems.litserve_server --port …`."""

from pathlib import Path
from typing import Annotated, Any

import click
import litserve
from fastapi import Depends, Request

from cache_models.paths import UserPath


async def _body(request: Request) -> bytes:
    return await request.body()


class Api(litserve.LitAPI):
    def __init__(self, store: Path, device: str, threads: int):
        super().__init__(api_path="/predict")
        self._args = store, device, threads

    def setup(self, device: str) -> None:
        from workload.compare.systems.whole import Whole

        self._whole = Whole(*self._args)

    # LitServe would read JSON; a dependency of FastAPI's hands it the body as it is
    def decode_request(self, request: Annotated[bytes, Depends(_body)]) -> bytes:
        return request

    def predict(self, body: bytes) -> dict[str, Any]:
        return self._whole.answer(body)

    def encode_response(self, output: dict[str, Any]) -> dict[str, Any]:
        return output


@click.command()
@click.option("--port", type=int, required=True)
@click.option("--store", type=UserPath(), required=True)
@click.option("--device", default="cpu")
@click.option("--threads", type=int, default=2)
def main(port: int, store: Path, device: str, threads: int) -> None:
    api = Api(store, device, threads)
    # its queue over ZeroMQ is the quicker one of two
    server = litserve.LitServer(api, accelerator="cpu", devices=1, fast_queue=True)
    server.run(
        host="127.0.0.1",
        port=port,
        num_api_servers=1,
        generate_client_file=False,
        log_level="warning",
    )


if __name__ == "__main__":
    main()
