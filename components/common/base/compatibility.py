"""What differs between the versions of libraries in the locked stacks. Nothing else asks for a version or a feature."""

from __future__ import annotations

import importlib
import inspect
from importlib import util
from typing import Any

from google.protobuf import json_format, message_factory
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import Message

# Protobuf 26 renamed it.
_DEFAULTS = next(
    name
    for name in ("always_print_fields_with_no_presence", "including_default_value_fields")
    if name in inspect.signature(json_format.MessageToDict).parameters
)


def message_class(pool: DescriptorPool, name: str) -> Any:
    """The class of a message in a pool."""
    descriptor = pool.FindMessageTypeByName(name)
    if hasattr(message_factory, "GetMessageClass"):  # Protobuf 4.22 brought it, and 5 removed GetPrototype
        return message_factory.GetMessageClass(descriptor)
    return message_factory.MessageFactory(pool).GetPrototype(descriptor)


def message_to_dict(message: Message) -> dict[str, Any]:
    """A message as JSON with the field names of its .proto file, also of fields that have their default."""
    return json_format.MessageToDict(message, preserving_proto_field_name=True, **{_DEFAULTS: True})


def converter_error_data() -> Any:
    """The message with codes and operators of an error of TensorFlow's converter, which has moved since 2.16."""
    places = ("tensorflow.lite.python.metrics", "tensorflow.compiler.mlir.lite.metrics")
    found = next(place for place in places if util.find_spec(f"{place}.converter_error_data_pb2"))
    return importlib.import_module(f"{found}.converter_error_data_pb2").ConverterErrorData
