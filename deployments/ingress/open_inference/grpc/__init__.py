"""The protocol over gRPC, on Ray Serve's own gRPC proxy.

`open_inference_pb2.py` and its types are made of `open_inference.proto`, by an old compiler, so that old and new
versions of protobuf take it:

    pip install grpcio-tools==1.62.3
    python -m grpc_tools.protoc -I. --python_out=. --pyi_out=. deployments/ingress/open_inference/grpc/open_inference.proto
"""  # noqa: E501
