"""TensorFlow Serving's wire format under a package of our own.

The same field numbers, types and method paths as tensorflow/serving 2.20 and TensorFlow 2.21, so the bytes are the same (names do not travel),
but other file and message names, so that these modules and the official `tensorflow_serving` ones can live in one process. The official
stubs import TensorFlow; these do not. Fields that no part of DermQ uses are left out: protobuf keeps them as unknown fields.

`*_pb2.py` and `*_pb2.pyi` are generated and committed. After a change to a `.proto` file run, from the root of the repository:

    python -m grpc_tools.protoc --proto_path=. --python_out=. --pyi_out=. serving/protos/*.proto

`tests/contracts/test_wire.py` exchanges bytes with the official messages, both ways, for every message here.
"""
