"""Descriptions of versions and signatures as TensorFlow Serving's messages."""

from __future__ import annotations

from typing import Any

from components.common.base import compatibility
from components.common.serving import tensor_values
from components.common.serving.request_error import Fault, RequestError
from components.common.serving.servable import Port, Servable
from components.common.serving.stubs import get_model_metadata_pb2, get_model_status_pb2
from components.common.serving.versions import Model, Wanted

_NOT_LOADED = 9  # tensorflow.error.FAILED_PRECONDITION


def status(model: Model, wanted: Wanted) -> Any:
    """The states of a model's versions, a GetModelStatusResponse.

    Args:
        model: The model.
        wanted: Number or label of a version; None for all.

    Raises:
        RequestError: If the version is not known.
    """
    answer = get_model_status_pb2.GetModelStatusResponse()
    versions = model.versions
    number = model.number(wanted)
    if number is not None:
        if number not in versions:
            raise RequestError(Fault.NOT_FOUND, f"Could not find version {number} of model {model.name}")
        versions = {number: versions[number]}
    for version in versions.values():
        row = answer.model_version_status.add()
        row.version = version.number
        row.state = int(version.state)
        row.status.SetInParent()  # "OK" is written, too
        if version.error:
            row.status.error_code = _NOT_LOADED
            row.status.error_message = version.error
    return answer


def signatures(servable: Servable) -> Any:
    """The signatures of a version, a SignatureDefMap."""
    answer = get_model_metadata_pb2.SignatureDefMap()
    for name, signature in servable.signatures.items():
        made = answer.signature_def[name]
        made.method_name = signature.method
        for ports, infos in ((signature.inputs, made.inputs), (signature.outputs, made.outputs)):
            for port_name, port in ports.items():
                _describe(port, infos[port_name])
    return answer


def _describe(port: Port, info: Any) -> None:
    info.name = port.tensor
    info.dtype = tensor_values.data_type(port.dtype)
    if port.shape is None:
        info.tensor_shape.unknown_rank = True
    else:
        for size in port.shape:
            info.tensor_shape.dim.add().size = -1 if size is None else size


def as_json(message: Any) -> Any:
    """A message as TensorFlow Serving's REST API writes it."""
    return compatibility.message_to_dict(message)
