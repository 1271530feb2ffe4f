"""From a request that has been read to its response, whichever way it came."""

from collections.abc import Callable
from typing import Any, TypeVar

from deployments.graph.timeline import Timeline
from deployments.ingress import streams
from deployments.ingress.caller import Caller
from deployments.ingress.open_inference.messages import InferRequest, InferResponse, use_caches
from deployments.ingress.open_inference.metadata import MODEL_VERSION
from deployments.ingress.resizing import Input
from deployments.ingress.service import Service

T = TypeVar("T")
INLINE_VALUES = 8 * 1024
"""Probabilities in a response that is written at once; a larger one is written in a worker."""


async def respond(
    service: Service,
    asked: InferRequest,
    given: Input,
    asker: Caller,
    timeline: Timeline,
    timeout_s: float,
) -> InferResponse:
    """
    Args:
        given: the request's tensor, in its smallest form.
        timeout_s: as of `Service.answer`.

    Raises:
        RequestError: a parameter is wrong.
        PlaceError, TimeoutError: the base DNN has not answered.
    """
    caches = use_caches(asked.parameters)
    stream = streams.named_by(asker.stream, asked.parameters)
    answers = await service.answer(given, caches, timeline, stream, timeout_s)
    parameters: dict[str, Any] = {
        "exits": ",".join(answers.exits),
        "cache_version": answers.cache_version,
    }
    if asker.wants_trace:
        parameters["trace"] = asker.trace(timeline)
    return InferResponse(
        asked.id or asker.request_id,
        service.name,
        MODEL_VERSION,
        parameters,
        asked.outputs,
        answers,
        service.description.classes,
    )


async def written(
    service: Service, write: Callable[[InferResponse], T], response: InferResponse
) -> T:
    """What `write` makes of it."""
    if response.size <= INLINE_VALUES:
        return write(response)
    return await service.workers.run(write, response)
