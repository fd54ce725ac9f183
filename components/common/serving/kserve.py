"""KServe's REST API, version 2 (the Open Inference Protocol), without its binary extension.

https://kserve.github.io/website/docs/concepts/architecture/data-plane/v2-protocol
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from components.common.base.installed import version_of
from components.common.serving import json_values
from components.common.serving.http_handler import Handler, number_of
from components.common.serving.request_error import Fault, RequestError, invalid
from components.common.serving.servable import Port, Servable, Signature, Values
from components.common.tflite.tflite_file import SIGNATURE

_MODEL = r"/v2/models/([^/]+)(?:/versions/(\d{1,18}))?"
_SERVER = "paredown"
_TYPES = {
    "bool": "BOOL",
    "uint8": "UINT8",
    "uint16": "UINT16",
    "uint32": "UINT32",
    "uint64": "UINT64",
    "int8": "INT8",
    "int16": "INT16",
    "int32": "INT32",
    "int64": "INT64",
    "float16": "FP16",
    "float32": "FP32",
    "float64": "FP64",
    "object": "BYTES",
}


def routes() -> list[tuple[str, type[Handler]]]:
    """Patterns of paths and their handlers."""
    return [
        (r"/v2/?", ServerMetadata),
        (r"/v2/health/live", Live),
        (r"/v2/health/ready", Ready),
        (f"{_MODEL}/infer", Infer),
        (f"{_MODEL}/ready", ModelReady),
        (_MODEL, ModelMetadata),
    ]


class ServerMetadata(Handler):
    """GET /v2."""

    def get(self) -> None:
        self.answer({"name": _SERVER, "version": version_of(_SERVER), "extensions": []})


class Live(Handler):
    """GET /v2/health/live."""

    def get(self) -> None:
        self.answer({"live": True})


class Ready(Handler):
    """GET /v2/health/ready."""

    def get(self) -> None:
        self.set_status(200 if self.predictions.ready else 503)
        self.answer({"ready": self.predictions.ready})


class ModelReady(Handler):
    """GET …/ready."""

    def get(self, name: str, version: str | None) -> None:
        number, _ = self.predictions.model(name).find(number_of(version))
        if self.predictions.draining:
            raise RequestError(Fault.UNAVAILABLE, "the server is about to end")
        self.answer({"name": name, "version": str(number), "ready": True})


class ModelMetadata(Handler):
    """GET …: the inputs and outputs of the default signature."""

    def get(self, name: str, version: str | None) -> None:
        model = self.predictions.model(name)
        _, servable = model.find(number_of(version))
        signature = servable.signature(SIGNATURE)
        self.answer(
            {
                "name": name,
                "versions": [str(number) for number, known in model.versions.items() if known.servable],
                "platform": f"{_SERVER}_{servable.runtime.lower()}",
                "inputs": [_described(item, port) for item, port in signature.inputs.items()],
                "outputs": [_described(item, port) for item, port in signature.outputs.items()],
            }
        )


class Infer(Handler):
    """POST …/infer. `parameters.signature_name` names a signature."""

    async def post(self, name: str, version: str | None) -> None:
        if "Inference-Header-Content-Length" in self.request.headers:
            raise invalid("binary tensors are not supported; send data as JSON")
        request = json_values.parse(self.body)
        parameters = request.get("parameters", {})
        asked = parameters.get("signature_name", "") if isinstance(parameters, dict) else ""
        wanted = _names(request.get("outputs", []), "outputs")

        def read(servable: Servable, signature_name: str, signature: Signature) -> Values:
            unknown = sorted(set(wanted) - set(signature.outputs))
            if unknown:
                raise invalid(f"there is no output {', '.join(unknown)}")
            return _features(request.get("inputs"), signature)

        predicted = await self.predictions.predict("kserve", name, number_of(version), str(asked), read)
        outputs = [
            {
                "name": output,
                "shape": list(values.shape),
                "datatype": _TYPES[values.dtype.name],
                "data": json_values.from_array(output, values.ravel()),
            }
            for output, values in predicted.outputs.items()
            if not wanted or output in wanted
        ]
        answer: dict[str, Any] = {"model_name": name, "model_version": str(predicted.version)}
        if "id" in request:
            answer["id"] = request["id"]
        self.answer({**answer, "outputs": outputs})


def _described(name: str, port: Port) -> dict[str, Any]:
    shape = [-1 if size is None else size for size in port.shape or ()]
    return {"name": name, "datatype": _TYPES[port.dtype.name], "shape": shape}


def _names(items: Any, what: str) -> list[str]:
    if not isinstance(items, list) or not all(
        isinstance(item, dict) and isinstance(item.get("name"), str) for item in items
    ):
        raise invalid(f"{what} has to be a list of objects that each have a name")
    return [item["name"] for item in items]


def _features(inputs: Any, signature: Signature) -> Values:
    names = _names(inputs, "inputs")
    if len(set(names)) < len(names):
        raise invalid("an input is given twice")
    return {name: _values(name, item, signature) for name, item in zip(names, inputs, strict=True)}


def _values(name: str, item: dict[str, Any], signature: Signature) -> Any:
    port = signature.inputs.get(name)
    if port is None:
        return np.zeros(0)  # which the check of names refuses
    expected = _TYPES[port.dtype.name]
    if item.get("datatype") != expected:
        raise invalid(f"input {name!r} has datatype {item.get('datatype')}, expected {expected}")
    shape = item.get("shape")
    if not isinstance(shape, list) or not all(type(size) is int and size >= 0 for size in shape):
        raise invalid(f"input {name!r} needs a shape, a list of whole numbers")
    values = json_values.to_array(name, item.get("data"), port)
    if math.prod(shape) != values.size:
        raise invalid(f"input {name!r} has {values.size:,} values for shape {shape}")
    return values.reshape(shape)
