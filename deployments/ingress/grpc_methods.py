"""The methods of the service, by the names that the protocol gives them: each translates, and calls
what HTTP's endpoints call."""

import logging
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from functools import partial

import grpc
from ray.serve.grpc_util import RayServegRPCContext, gRPCInputStream

from deployments.graph.timeline import Timeline
from deployments.ingress.caller import Caller, caller
from deployments.ingress.errors import RequestError, Unavailable
from deployments.ingress.failures import named_failures
from deployments.ingress.open_inference import metadata
from deployments.ingress.open_inference.grpc import messages
from deployments.ingress.open_inference.grpc import open_inference_pb2 as pb
from deployments.ingress.responding import respond, written
from deployments.ingress.service import Service

logger = logging.getLogger(__name__)

CODES = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    404: grpc.StatusCode.NOT_FOUND,
    413: grpc.StatusCode.RESOURCE_EXHAUSTED,
    422: grpc.StatusCode.INVALID_ARGUMENT,
    503: grpc.StatusCode.UNAVAILABLE,
    504: grpc.StatusCode.DEADLINE_EXCEEDED,
}
"""By HTTP status; any other is INTERNAL."""
MOST_DETAILS = 2_000
"""Characters; details travel in a header, and a proxy has little room for these."""


class Methods:
    """Of a service; Serve calls them on the deployment, with the request and its context."""

    async def ServerLive(
        self: Service, request: pb.ServerLiveRequest, grpc_context: RayServegRPCContext
    ) -> pb.ServerLiveResponse:
        with _answering(self, grpc_context):
            return pb.ServerLiveResponse(live=True)

    async def ServerReady(
        self: Service, request: pb.ServerReadyRequest, grpc_context: RayServegRPCContext
    ) -> pb.ServerReadyResponse:
        response = pb.ServerReadyResponse()
        with _answering(self, grpc_context):
            response.ready = await _is_ready(self)
        return response

    async def ModelReady(
        self: Service, request: pb.ModelReadyRequest, grpc_context: RayServegRPCContext
    ) -> pb.ModelReadyResponse:
        response = pb.ModelReadyResponse()
        with _answering(self, grpc_context):
            metadata.check_model(self.name, request.name, request.version)
            response.ready = await _is_ready(self)
        return response

    async def ServerMetadata(
        self: Service, request: pb.ServerMetadataRequest, grpc_context: RayServegRPCContext
    ) -> pb.ServerMetadataResponse:
        with _answering(self, grpc_context):
            return pb.ServerMetadataResponse(
                name=metadata.SERVER,
                version=metadata.SERVER_VERSION,
                extensions=metadata.EXTENSIONS,
            )

    async def ModelMetadata(
        self: Service, request: pb.ModelMetadataRequest, grpc_context: RayServegRPCContext
    ) -> pb.ModelMetadataResponse:
        with _answering(self, grpc_context):
            metadata.check_model(self.name, request.name, request.version)
            told = metadata.metadata(self.name, self.description, self.limits)
            return pb.ModelMetadataResponse(**told.model_dump(exclude={"parameters"}))
        return pb.ModelMetadataResponse()

    async def ModelInfer(
        self: Service, request: pb.ModelInferRequest, grpc_context: RayServegRPCContext
    ) -> pb.ModelInferResponse:
        with _answering(self, grpc_context) as asker:
            return await _infer(self, request, asker)
        return pb.ModelInferResponse()

    async def ModelStreamInfer(
        self: Service, stream: gRPCInputStream, grpc_context: RayServegRPCContext
    ) -> AsyncIterator[pb.ModelStreamInferResponse]:
        """One request after another; an error is an answer, and the next request is read."""
        with _answering(self, grpc_context) as asker:
            async for request in stream:
                try:
                    yield pb.ModelStreamInferResponse(
                        infer_response=await _infer(self, request, asker)
                    )
                except RequestError as error:
                    which = pb.ModelInferResponse(id=request.id)
                    yield pb.ModelStreamInferResponse(
                        error_message=str(error), infer_response=which
                    )

    async def ModelConfig(
        self: Service, request: pb.ModelConfigRequest, grpc_context: RayServegRPCContext
    ) -> pb.ModelConfigResponse:
        with _answering(self, grpc_context):
            metadata.check_model(self.name, request.name, request.version)
            told = metadata.config(self.name, self.description, self.limits)
            return pb.ModelConfigResponse(config=told.model_dump())
        return pb.ModelConfigResponse()

    async def ModelStatistics(
        self: Service, request: pb.ModelStatisticsRequest, grpc_context: RayServegRPCContext
    ) -> pb.ModelStatisticsResponse:
        """Of all models, if none is named."""
        with _answering(self, grpc_context):
            metadata.check_model(self.name, request.name or self.name, request.version)
            told = metadata.statistics(self.name, await self.report()).model_dump(
                exclude={"model_stats": {"__all__": {"batch_stats"}}}
            )
            return pb.ModelStatisticsResponse(**told)
        return pb.ModelStatisticsResponse()

    async def RepositoryIndex(
        self: Service, request: pb.RepositoryIndexRequest, grpc_context: RayServegRPCContext
    ) -> pb.RepositoryIndexResponse:
        response = pb.RepositoryIndexResponse()
        with _answering(self, grpc_context):
            ready = await _is_ready(self)
            if ready or not request.ready:
                response.models.add(
                    name=self.name,
                    version=metadata.MODEL_VERSION,
                    state="READY" if ready else "UNAVAILABLE",
                )
        return response


async def _is_ready(service: Service) -> bool:
    try:
        await service.check_ready()
    except Unavailable:
        return False
    return True


async def _infer(
    service: Service, request: pb.ModelInferRequest, asker: Caller
) -> pb.ModelInferResponse:
    timeline = Timeline(time.perf_counter())
    async with named_failures(service, timeline, asker) as timeout_s:
        metadata.check_model(service.name, request.model_name, request.model_version)
        with timeline.step("decode"):
            size = request.ByteSize()
            text, binary = (0, size) if request.raw_input_contents else (size, 0)
            read = partial(messages.read, request)
            asked, given = await service.inputs.tensor(read, text, binary)
        response = await respond(service, asked, given, asker, timeline, timeout_s)
        return await written(service, messages.write, response)


@contextmanager
def _answering(service: Service, context: RayServegRPCContext) -> Iterator[Caller]:
    """Gives the request's id back, and an error's status in place of the error, which Serve would
    log with its traceback.
    """
    metadata = dict(context.invocation_metadata())
    own = dict(context.trailing_metadata()).get("request_id")  # that Serve's log has
    metadata.setdefault("x-request-id", metadata.get("request_id") or own or "")
    asker = caller(metadata)
    context.set_trailing_metadata([("x-request-id", asker.request_id)])
    try:
        yield asker
    except RequestError as error:
        context.set_code(CODES.get(error.status, grpc.StatusCode.INTERNAL))
        context.set_details(str(error)[:MOST_DETAILS])
    except Exception as error:
        logger.exception("%s failed", asker)
        service.count_error(500)
        context.set_code(grpc.StatusCode.INTERNAL)
        message = f"the server failed on this request, which is its mistake: {error!r}"
        context.set_details(message[:MOST_DETAILS])
