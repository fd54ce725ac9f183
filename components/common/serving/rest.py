"""TensorFlow Serving's REST API: predictions, states of versions, metadata.

https://www.tensorflow.org/tfx/serving/api_rest
"""

from __future__ import annotations

from typing import Any

import numpy as np

from components.common.serving import descriptions, json_values
from components.common.serving.http_handler import Handler, number_of
from components.common.serving.predictions import Predicted
from components.common.serving.request_error import invalid
from components.common.serving.servable import Servable, Signature, Values

_MODEL = r"/v1/models/([^/:]+)(?:/versions/(\d{1,18})|/labels/([^/:]+))?"


def routes() -> list[tuple[str, type[Handler]]]:
    """Patterns of paths and their handlers."""
    return [
        (f"{_MODEL}:predict", Predict),
        (_MODEL, Status),
        (f"{_MODEL}/metadata", Metadata),
        (r"/(?:monitoring/prometheus/)?metrics", PrometheusMetrics),
    ]


class Predict(Handler):
    """POST …:predict, in row format (`instances`) or in columnar format (`inputs`)."""

    async def post(self, name: str, version: str | None, label: str | None) -> None:
        request = json_values.parse(self.body)
        signature_name = request.get("signature_name", "")
        if not isinstance(signature_name, str):
            raise invalid("signature_name has to be text")
        in_rows = "instances" in request
        if in_rows == ("inputs" in request):
            raise invalid(
                "the body needs either instances (a list of examples) or inputs (values by input)"
            )

        def read(servable: Servable, asked: str, signature: Signature) -> Values:
            if in_rows:
                return _rows(request["instances"], signature)
            return _columns(request["inputs"], signature)

        predicted = await self.predictions.predict(
            "rest", name, label or number_of(version), signature_name, read
        )
        if in_rows:
            self.answer({"predictions": _as_rows(predicted)})
        else:
            self.answer({"outputs": _as_columns(predicted)})


class Status(Handler):
    """GET …: the states of the versions."""

    def get(self, name: str, version: str | None, label: str | None) -> None:
        found = descriptions.status(self.predictions.model(name), label or number_of(version))
        self.answer(descriptions.as_json(found))


class Metadata(Handler):
    """GET …/metadata: the signatures."""

    def get(self, name: str, version: str | None, label: str | None) -> None:
        number, servable = self.predictions.model(name).find(label or number_of(version))
        found = descriptions.as_json(descriptions.signatures(servable))
        self.answer(
            {
                "model_spec": {"name": name, "signature_name": "", "version": str(number)},
                "metadata": {"signature_def": found},
            }
        )


class PrometheusMetrics(Handler):
    """GET /monitoring/prometheus/metrics, as TensorFlow Serving's usual configuration has it, and /metrics."""

    def get(self) -> None:
        self.set_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
        self.finish(self.predictions.metrics.text())


def _rows(instances: Any, signature: Signature) -> Values:
    if not isinstance(instances, list) or not instances:
        raise invalid("instances has to be a list of at least one example")
    named = [isinstance(instance, dict) and not json_values.is_bytes(instance) for instance in instances]
    if not any(named):
        return _columns(instances, signature)
    if not all(named) or any(instance.keys() != instances[0].keys() for instance in instances):
        raise invalid(
            "instances have to be objects with the same inputs, or all be values of the only input"
        )
    return _columns({name: [instance[name] for instance in instances] for name in instances[0]}, signature)


def _columns(inputs: Any, signature: Signature) -> Values:
    if not isinstance(inputs, dict) or json_values.is_bytes(inputs):
        if len(signature.inputs) != 1:
            raise invalid(f"the model has the inputs {', '.join(sorted(signature.inputs))}; name them")
        inputs = {next(iter(signature.inputs)): inputs}
    return {
        name: json_values.to_array(name, value, signature.inputs[name])
        if name in signature.inputs
        else np.zeros(0)  # which the check of names refuses
        for name, value in inputs.items()
    }


def _as_columns(predicted: Predicted) -> Any:
    columns = {name: json_values.from_array(name, values) for name, values in predicted.outputs.items()}
    return next(iter(columns.values())) if len(columns) == 1 else columns


def _as_rows(predicted: Predicted) -> list[Any]:
    columns = {name: json_values.from_array(name, values) for name, values in predicted.outputs.items()}
    for name, values in predicted.outputs.items():
        if values.ndim == 0:
            raise invalid(f"output {name!r} has no batch dimension; send inputs instead of instances")
    if len({len(column) for column in columns.values()}) > 1:
        raise invalid("outputs differ in their number of rows; send inputs instead of instances")
    if len(columns) == 1:
        return list(next(iter(columns.values())))
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
