"""TensorFlow Serving's gRPC API: Predict, Classify, GetModelMetadata and GetModelStatus.

https://github.com/tensorflow/serving/blob/master/tensorflow_serving/apis/prediction_service.proto
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import numpy as np
from google.protobuf.message import DecodeError

from components.common.serving import classification, descriptions, tensor_values
from components.common.serving.predictions import Predicted, Predictions, Read
from components.common.serving.request_error import RequestError, invalid
from components.common.serving.servable import Servable, Signature, Values
from components.common.serving.stubs import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    predict_pb2,
)
from components.common.serving.versions import Wanted

_API = "grpc"
Answer = Callable[[Any, grpc.aio.ServicerContext], Awaitable[Any]]
_SIGNATURES = "signature_def"


def add_services(server: grpc.aio.Server, predictions: Predictions) -> None:
    """Makes a gRPC server answer with predictions."""
    prediction, model = _PredictionService(predictions), _ModelService(predictions)
    server.add_generic_rpc_handlers(
        (
            _service(
                "PredictionService",
                {
                    "Predict": (predict_pb2.PredictRequest, prediction.predict),
                    "Classify": (classification_pb2.ClassificationRequest, prediction.classify),
                    "GetModelMetadata": (
                        get_model_metadata_pb2.GetModelMetadataRequest,
                        prediction.metadata,
                    ),
                },
            ),
            _service(
                "ModelService",
                {"GetModelStatus": (get_model_status_pb2.GetModelStatusRequest, model.status)},
            ),
        )
    )


def _service(name: str, methods: dict[str, tuple[Any, Answer]]) -> Any:
    """A service whose messages are parsed here: gRPC answers to broken ones with UNKNOWN, and logs a traceback."""
    handlers = {
        method: grpc.unary_unary_rpc_method_handler(
            _parsed(kind, answer), response_serializer=lambda message: message.SerializeToString()
        )
        for method, (kind, answer) in methods.items()
    }
    return grpc.method_handlers_generic_handler(f"tensorflow.serving.{name}", handlers)


def _parsed(kind: Any, answer: Answer) -> Callable[[bytes, grpc.aio.ServicerContext], Awaitable[Any]]:
    async def call(content: bytes, context: grpc.aio.ServicerContext) -> Any:
        async with _errors(context):
            try:
                request = kind.FromString(content)
            except DecodeError:
                raise invalid(f"the message is not a {kind.DESCRIPTOR.full_name}") from None
            return await answer(request, context)

    return call


class _PredictionService:
    def __init__(self, predictions: Predictions):
        self._predictions = predictions

    async def predict(self, request: Any, context: grpc.aio.ServicerContext) -> Any:
        wanted = list(request.output_filter)

        def read(servable: Servable, asked: str, signature: Signature) -> Values:
            unknown = sorted(set(wanted) - set(signature.outputs))
            if unknown:
                raise invalid(f"there is no output {', '.join(unknown)}")
            return {
                name: tensor_values.to_array(name, proto, signature.inputs[name])
                if name in signature.inputs
                else np.zeros(0)  # which the check of names refuses
                for name, proto in request.inputs.items()
            }

        predicted = await self._predict(request, context, read)
        answer = predict_pb2.PredictResponse()
        _fill_spec(answer.model_spec, predicted)
        for name, values in predicted.outputs.items():
            if not wanted or name in wanted:
                tensor_values.fill(answer.outputs[name], values)
        return answer

    async def classify(self, request: Any, context: grpc.aio.ServicerContext) -> Any:
        def read(servable: Servable, asked: str, signature: Signature) -> Values:
            return classification.features(request.input, signature)

        predicted = await self._predict(request, context, read)
        answer = classification_pb2.ClassificationResponse()
        _fill_spec(answer.model_spec, predicted)
        classification.fill(answer.result, predicted)
        return answer

    async def metadata(self, request: Any, context: grpc.aio.ServicerContext) -> Any:
        unknown = sorted(set(request.metadata_field) - {_SIGNATURES})
        if unknown or not request.metadata_field:
            raise invalid(f"metadata_field has to be [{_SIGNATURES!r}]")
        number, servable = self._predictions.model(request.model_spec.name).find(_version(request))
        answer = get_model_metadata_pb2.GetModelMetadataResponse()
        answer.model_spec.name = request.model_spec.name
        answer.model_spec.version.value = number
        answer.metadata[_SIGNATURES].Pack(descriptions.signatures(servable))
        return answer

    async def _predict(self, request: Any, context: grpc.aio.ServicerContext, read: Read) -> Predicted:
        spec = request.model_spec
        remaining = context.time_remaining()
        return await self._predictions.predict(
            _API, spec.name, _version(request), spec.signature_name, read, remaining
        )


class _ModelService:
    def __init__(self, predictions: Predictions):
        self._predictions = predictions

    async def status(self, request: Any, context: grpc.aio.ServicerContext) -> Any:
        return descriptions.status(self._predictions.model(request.model_spec.name), _version(request))


def _version(request: Any) -> Wanted:
    spec = request.model_spec
    if spec.version_label:
        return str(spec.version_label)
    return spec.version.value if spec.HasField("version") else None


def _fill_spec(spec: Any, predicted: Predicted) -> None:
    spec.name = predicted.model
    spec.signature_name = predicted.signature_name
    spec.version.value = predicted.version


@asynccontextmanager
async def _errors(context: grpc.aio.ServicerContext) -> AsyncIterator[None]:
    """Ends the call with the status of a RequestError."""
    try:
        yield
    except RequestError as error:
        await context.abort(grpc.StatusCode[error.fault.grpc], str(error))
