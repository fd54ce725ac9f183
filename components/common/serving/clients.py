"""Clients of a server: requests that are written once and sent often, by REST and by gRPC."""

from __future__ import annotations

import http.client
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import grpc
import numpy as np
import numpy.typing as npt

from components.common.base.errors import ParedownError
from components.common.serving import json_values, tensor_values
from components.common.serving.servable import Port, Values
from components.common.serving.server import Listening
from components.common.serving.stubs import predict_pb2

_TIMEOUT = 60.0


class ClientError(ParedownError):
    """A request was not answered with a prediction."""


class Client(ABC):
    """A connection to a server, which one thread uses at a time."""

    @abstractmethod
    def __init__(self, listening: Listening):
        """Connects when the first request is sent."""

    @abstractmethod
    def request(self, model: str, features: Values) -> bytes:
        """Predict as the protocol writes it.

        Args:
            model: Name of the model.
            features: Input → (examples, …) values.
        """

    @abstractmethod
    def send(self, request: bytes) -> bytes:
        """The answer to a request.

        Raises:
            ClientError: If it is not a prediction.
        """

    @abstractmethod
    def outputs(self, answer: bytes, like: Mapping[str, npt.NDArray[Any]]) -> Values:
        """Output → values of an answer.

        Args:
            answer: From `send`.
            like: Output → values of the dtypes to read.
        """

    @abstractmethod
    def close(self) -> None:
        """Ends the connection."""


class RestClient(Client):
    """TensorFlow Serving's REST API in columnar format."""

    def __init__(self, listening: Listening):
        self._connection = http.client.HTTPConnection(listening.host, listening.rest_port, timeout=_TIMEOUT)

    def request(self, model: str, features: Values) -> bytes:
        columns = {name: json_values.from_array(name, values) for name, values in features.items()}
        return f"/v1/models/{model}:predict\n".encode() + json_values.dump({"inputs": columns})

    def send(self, request: bytes) -> bytes:
        path, _, body = request.partition(b"\n")
        try:
            self._connection.request("POST", path.decode(), body)
            answer = self._connection.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise ClientError(f"REST: {type(error).__name__}: {error}") from error
        if answer.status != 200:
            raise ClientError(f"REST: status {answer.status}: {content.decode(errors='replace')}")
        return content

    def outputs(self, answer: bytes, like: Mapping[str, npt.NDArray[Any]]) -> Values:
        found = json.loads(answer)["outputs"]
        if len(like) == 1:  # which has no name then
            found = dict.fromkeys(like, found)
        return {name: np.array(values, like[name].dtype) for name, values in found.items() if name in like}

    def close(self) -> None:
        self._connection.close()


class GrpcClient(Client):
    """TensorFlow Serving's gRPC API."""

    def __init__(self, listening: Listening):
        # Channels to one address share a connection otherwise.
        options = [("grpc.use_local_subchannel_pool", 1)]
        self._channel = grpc.insecure_channel(f"{listening.host}:{listening.grpc_port}", options)
        self._predict = self._channel.unary_unary("/tensorflow.serving.PredictionService/Predict")

    def request(self, model: str, features: Values) -> bytes:
        asked = predict_pb2.PredictRequest()
        asked.model_spec.name = model
        for name, values in features.items():
            tensor_values.fill(asked.inputs[name], values)
        return asked.SerializeToString()

    def send(self, request: bytes) -> bytes:
        try:
            return self._predict(request, timeout=_TIMEOUT)
        except grpc.RpcError as error:
            raise ClientError(f"gRPC: {error.code().name}: {error.details()}") from error

    def outputs(self, answer: bytes, like: Mapping[str, npt.NDArray[Any]]) -> Values:
        found = predict_pb2.PredictResponse.FromString(answer).outputs
        return {
            name: tensor_values.to_array(name, proto, Port(like[name].dtype, None))
            for name, proto in found.items()
            if name in like
        }

    def close(self) -> None:
        self._channel.close()
