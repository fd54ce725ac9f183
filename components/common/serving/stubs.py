"""Messages and stubs of TensorFlow Serving's API, imported without TensorFlow.

The modules of `tensorflow-serving-api` import messages of the package `tensorflow`, whose `__init__` takes ten seconds
and half a gigabyte. The messages do not need it, so an empty package replaces it while they are imported. If
TensorFlow is imported already, or later, it finds the same messages.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType


@contextmanager
def _without_tensorflow() -> Iterator[None]:
    found = None if "tensorflow" in sys.modules else importlib.util.find_spec("tensorflow")
    if found is None or found.submodule_search_locations is None:
        yield
        return
    package = ModuleType("tensorflow")
    package.__path__ = list(found.submodule_search_locations)
    sys.modules["tensorflow"] = package
    try:
        yield
    finally:
        del sys.modules["tensorflow"]


with _without_tensorflow():
    from tensorflow.core.example import example_pb2 as example_pb2
    from tensorflow.core.framework import tensor_pb2 as tensor_pb2
    from tensorflow.core.protobuf import error_codes_pb2 as error_codes_pb2
    from tensorflow.core.protobuf import meta_graph_pb2 as meta_graph_pb2
    from tensorflow_serving.apis import classification_pb2 as classification_pb2
    from tensorflow_serving.apis import get_model_metadata_pb2 as get_model_metadata_pb2
    from tensorflow_serving.apis import get_model_status_pb2 as get_model_status_pb2
    from tensorflow_serving.apis import input_pb2 as input_pb2
    from tensorflow_serving.apis import model_pb2 as model_pb2
    from tensorflow_serving.apis import model_service_pb2_grpc as model_service_pb2_grpc
    from tensorflow_serving.apis import predict_pb2 as predict_pb2
    from tensorflow_serving.apis import prediction_log_pb2 as prediction_log_pb2
    from tensorflow_serving.apis import prediction_service_pb2_grpc as prediction_service_pb2_grpc
    from tensorflow_serving.config import model_server_config_pb2 as model_server_config_pb2
