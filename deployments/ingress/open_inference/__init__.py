"""The Open Inference Protocol (KServe V2), with what Triton Inference Server adds that its clients
ask for.

`messages` is what a request and an answer are. `rest` and `grpc` translate to and from it and do
nothing else; `tensors` says what a model takes, `metadata` what clients may read about it.
"""
