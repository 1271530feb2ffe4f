"""What `grpc_options.grpc_servicer_functions` in `serve_config.yaml` names: it tells a server of
Ray Serve which methods there are, and Serve calls the router's of the same names."""

import grpc
from google.protobuf.message_factory import GetMessageClass

from deployments.ingress.open_inference.grpc import open_inference_pb2

SERVICE = open_inference_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"]


def add_to_server(servicer: object, server: grpc.Server) -> None:
    """
    Args:
        servicer: with a method for each; Serve puts calls of its own in their place.
    """
    handlers = {method.name: _handler(servicer, method) for method in SERVICE.methods}
    generic = grpc.method_handlers_generic_handler(SERVICE.full_name, handlers)
    server.add_generic_rpc_handlers((generic,))


def _handler(servicer: object, method) -> grpc.RpcMethodHandler:
    streams = method.client_streaming and method.server_streaming
    make = grpc.stream_stream_rpc_method_handler if streams else grpc.unary_unary_rpc_method_handler
    return make(
        getattr(servicer, method.name),
        request_deserializer=GetMessageClass(method.input_type).FromString,
        response_serializer=GetMessageClass(method.output_type).SerializeToString,
    )
