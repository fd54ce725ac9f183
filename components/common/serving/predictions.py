"""Requests to any of the models of a server, by whichever protocol they came."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from components.common.serving.batcher import Batcher, BatchLimits
from components.common.serving.metrics import Metrics
from components.common.serving.request_error import Fault, RequestError
from components.common.serving.servable import Servable, Signature, Values
from components.common.serving.versions import Model, Wanted
from components.common.tflite.tflite_file import SIGNATURE

Read = Callable[[Servable, str, Signature], Values]


@dataclass(frozen=True)
class Predicted:
    """The answer to a request.

    Attributes:
        model: Name of the model.
        version: Number of the version that predicted.
        signature_name: Name of the signature that was called.
        signature: The signature.
        outputs: Output → (examples, …) values.
    """

    model: str
    version: int
    signature_name: str
    signature: Signature
    outputs: Values


class Predictions:
    """Finds the version, checks the request, waits for the batch, and counts.

    Attributes:
        models: Name → model.
        metrics: What is counted.
        draining: Whether the server is about to end.
    """

    def __init__(self, models: Iterable[Model], threads: int, limits: BatchLimits, timeout: float):
        """Loads nothing.

        Args:
            models: To predict with.
            threads: Batches that are predicted at once.
            limits: Limits of batches and of the queue.
            timeout: Seconds that a request may take.
        """
        self.models = {model.name: model for model in models}
        self.metrics = Metrics(self.models.values())
        self.draining = False
        self.timeout = timeout
        self._batcher = Batcher(threads, limits, self.metrics.batch)
        self.metrics.queued_is(lambda: self._batcher.queued)

    @property
    def ready(self) -> bool:
        """Whether each model has a version that is served, and the server is not about to end."""
        return not self.draining and all(model.ready for model in self.models.values())

    def model(self, name: str) -> Model:
        """The model of that name.

        Raises:
            RequestError: If there is none.
        """
        if name not in self.models:
            raise RequestError(Fault.NOT_FOUND, f"Servable not found for request: Latest({name})")
        return self.models[name]

    async def predict(
        self,
        api: str,
        name: str,
        version: Wanted,
        signature_name: str,
        read: Read,
        timeout: float | None = None,
    ) -> Predicted:
        """Answers a request.

        Args:
            api: What it came by, for the metrics.
            name: Name of the model.
            version: Its number or label; None for the newest.
            signature_name: Name of the signature; empty for the default.
            read: Makes input → (examples, …) values of the request, for the servable and signature that it is given.
            timeout: Seconds that the client waits; None if it does not say.

        Raises:
            RequestError: If it cannot be answered.
        """
        began = time.monotonic()
        status = Fault.FAILED.http
        try:
            number, servable = self.model(name).find(version)
            asked = signature_name or SIGNATURE
            signature = servable.signature(asked)
            features = read(servable, asked, signature)
            rows = signature.rows(features)
            limit = self.timeout if timeout is None else min(timeout, self.timeout)
            outputs = await self._batcher.predict(servable, asked, features, rows, limit)
            status = 200
            return Predicted(name, number, asked, signature, outputs)
        except RequestError as error:
            status = error.fault.http
            raise
        finally:
            known = name if name in self.models else ""
            self.metrics.request(known, api, status, time.monotonic() - began)

    def close(self) -> None:
        """Ends the threads."""
        self._batcher.close()
