"""A server's counters, for Prometheus."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from components.common.serving.versions import Model

_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)


class _VersionStates(Collector):
    """The states of versions, read when they are asked for."""

    def __init__(self, models: Iterable[Model]):
        self._models = models

    def collect(self) -> Iterable[GaugeMetricFamily]:
        gauge = GaugeMetricFamily(
            "paredown_model_version_available", "1 if the version is served", labels=["model", "version"]
        )
        for model in self._models:
            for number, version in model.versions.items():
                gauge.add_metric([model.name, str(number)], float(version.servable is not None))
        yield gauge


class Metrics:
    """Counters of a server, in a registry that is not the process's."""

    def __init__(self, models: Iterable[Model]):
        """Counts nothing yet.

        Args:
            models: Whose versions are reported.
        """
        self._registry = CollectorRegistry()
        self._registry.register(_VersionStates(models))
        self._requests = Counter(
            "paredown_requests",
            "Requests for predictions by their outcome, a status of HTTP",
            ["model", "api", "status"],
            registry=self._registry,
        )
        self._seconds = Histogram(
            "paredown_request_seconds",
            "Seconds from the whole request to the answer",
            ["model", "api"],
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._batch_examples = Histogram(
            "paredown_batch_examples", "Examples of a batch", buckets=_SIZES, registry=self._registry
        )
        self._batch_requests = Histogram(
            "paredown_batch_requests", "Requests of a batch", buckets=_SIZES, registry=self._registry
        )
        self._dropped = Counter(
            "paredown_dropped_bodies",
            "Bodies that were too large, alone or together with others",
            registry=self._registry,
        )
        self._queued = Gauge("paredown_queued_requests", "Requests that wait", registry=self._registry)

    def queued_is(self, queued: Callable[[], float]) -> None:
        """Says how to ask for the number of requests that wait."""
        self._queued.set_function(queued)

    def request(self, model: str, api: str, status: int, seconds: float) -> None:
        """Counts a request.

        Args:
            model: The model's name; empty if there is none of the name that was asked for.
            api: `rest`, `kserve` or `grpc`.
            status: HTTP status.
            seconds: It took.
        """
        self._requests.labels(model, api, str(status)).inc()
        self._seconds.labels(model, api).observe(seconds)

    def dropped_body(self) -> None:
        """Counts a body that is not kept."""
        self._dropped.inc()

    def batch(self, requests: int, examples: int) -> None:
        """Counts a batch."""
        self._batch_requests.observe(requests)
        self._batch_examples.observe(examples)

    def text(self) -> bytes:
        """All of them in Prometheus's text format."""
        return generate_latest(self._registry)
