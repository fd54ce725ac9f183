"""Files to deploy a pushed model with: `push: {serving: {...}}`.

https://www.tensorflow.org/tfx/serving/serving_config, https://kubernetes.io/docs/reference/kubernetes-api/,
https://kserve.github.io/website/docs/reference/crd-api
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml
from google.protobuf import text_format

from components.common.serving.stubs import model_server_config_pb2
from components.common.tflite.tflite_file import SIGNATURE
from components.targets.server.params import Batching, ServingOptions

FOLDER = "deploy"
_MODELS, _BATCHING, _MONITORING = "models.config", "batching.config", "monitoring.config"
_REST, _GRPC = 8501, 8500
_CONFIG = "/config"
_METRICS = "/monitoring/prometheus/metrics"


def write(content: bytes, folder: Path, options: Mapping[str, Any]) -> list[str]:
    """Writes the files into `folder`/deploy.

    Args:
        content: The TFLite file, which is not looked at.
        folder: An existing folder.
        options: As `ServingOptions`, with a name.

    Returns:
        Paths of the files, relative to `folder`.
    """
    serving = ServingOptions.model_validate_json(json.dumps(options))
    assert serving.name is not None
    files = server_files(serving.name, serving)
    mounted = dict(files)
    files["docker-compose.yaml"] = _yaml(_compose(serving.name, serving))
    files["kubernetes.yaml"] = _yaml(*_kubernetes(serving.name, serving, mounted))
    files["kserve.yaml"] = _yaml(_inference_service(serving.name, serving))
    files["README.md"] = _readme(serving.name, serving)
    (folder / FOLDER).mkdir()
    for name, text in files.items():
        (folder / FOLDER / name).write_text(text, encoding="utf-8")
    return [f"{FOLDER}/{name}" for name in files]


def server_files(name: str, options: ServingOptions) -> dict[str, str]:
    """Name → content of the files that TensorFlow Serving reads, in protobuf's text format."""
    files = {_MODELS: _models(name, options)}
    if options.batching is not None:
        files[_BATCHING] = _batching(options.batching)
    if options.monitoring:
        files[_MONITORING] = f'prometheus_config {{ enable: true path: "{_METRICS}" }}\n'
    return files


def _models(name: str, options: ServingOptions) -> str:
    config = model_server_config_pb2.ModelServerConfig()
    model = config.model_config_list.config.add()
    model.name, model.base_path, model.model_platform = name, f"/models/{name}", "tensorflow"
    if options.labels:
        model.model_version_policy.specific.versions.extend(sorted(set(options.labels.values())))
        for label, version in options.labels.items():
            model.version_labels[label] = version
    else:
        model.model_version_policy.latest.num_versions = 1
    return text_format.MessageToString(config)


def _batching(batching: Batching) -> str:
    numbers = batching.model_dump(exclude_none=True)
    return "".join(f"{field} {{ value: {number} }}\n" for field, number in numbers.items())


def _arguments(options: ServingOptions) -> list[str]:
    """Arguments of the server. It reads models.config again every minute, so that labels can be moved."""
    arguments = [
        f"--port={_GRPC}",
        f"--rest_api_port={_REST}",
        f"--model_config_file={_CONFIG}/{_MODELS}",
        "--model_config_file_poll_wait_seconds=60",
    ]
    if options.labels:
        arguments.append("--allow_version_labels_for_unavailable_models=true")
    if options.batching is not None:
        arguments += ["--enable_batching=true", f"--batching_parameters_file={_CONFIG}/{_BATCHING}"]
    if options.monitoring:
        arguments.append(f"--monitoring_config_file={_CONFIG}/{_MONITORING}")
    return arguments


def _compose(name: str, options: ServingOptions) -> dict[str, Any]:
    return {
        "services": {
            name: {
                "image": options.image,
                "command": _arguments(options),
                "ports": [f"{_GRPC}:{_GRPC}", f"{_REST}:{_REST}"],
                # This file's folder is in the folder of a version.
                "volumes": [f"../..:/models/{name}:ro", f".:{_CONFIG}:ro"],
                "restart": "unless-stopped",
            }
        }
    }


def _kubernetes(name: str, options: ServingOptions, mounted: Mapping[str, str]) -> list[dict[str, Any]]:
    labels = {"app.kubernetes.io/name": name, "app.kubernetes.io/component": "model-server"}
    least, most = options.replicas

    def named(
        kind: str, version: str, spec: dict[str, Any], suffix: str = "", **more: Any
    ) -> dict[str, Any]:
        metadata = {"name": f"{name}{suffix}", "labels": labels, **more}
        return {"apiVersion": version, "kind": kind, "metadata": metadata, **spec}

    scraped = {
        "prometheus.io/scrape": "true",
        "prometheus.io/port": str(_REST),
        "prometheus.io/path": _METRICS,
    }
    pod_metadata: dict[str, Any] = {"labels": labels}
    if options.monitoring:
        pod_metadata["annotations"] = scraped
    deployment = {
        "replicas": least,
        "selector": {"matchLabels": labels},
        "strategy": {"rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
        "template": {"metadata": pod_metadata, "spec": _pod(name, options)},
    }
    ports = [{"name": "grpc", "port": _GRPC}, {"name": "rest", "port": _REST}]
    budget = {"maxUnavailable": 1, "selector": {"matchLabels": labels}}
    scale = {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
        "minReplicas": least,
        "maxReplicas": most,
        "metrics": [
            {
                "type": "Resource",
                "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 70}},
            }
        ],
    }
    return [
        named("ConfigMap", "v1", {"data": dict(mounted)}),
        named("Deployment", "apps/v1", {"spec": deployment}),
        named("Service", "v1", {"spec": {"selector": labels, "ports": ports}}),
        # A gRPC client keeps one connection: only if it sees all servers can it take turns among them.
        named(
            "Service",
            "v1",
            {"spec": {"clusterIP": "None", "selector": labels, "ports": ports[:1]}},
            "-grpc",
        ),
        named("HorizontalPodAutoscaler", "autoscaling/v2", {"spec": scale}),
        named("PodDisruptionBudget", "policy/v1", {"spec": budget}),
    ]


def _pod(name: str, options: ServingOptions) -> dict[str, Any]:
    container = {
        "name": "tensorflow-serving",
        "image": options.image,
        "args": _arguments(options),
        "ports": [{"name": "grpc", "containerPort": _GRPC}, {"name": "rest", "containerPort": _REST}],
        # Answers once a version is loaded; the list of states answers before.
        "readinessProbe": {
            "httpGet": {"path": f"/v1/models/{name}/metadata", "port": "rest"},
            "periodSeconds": 5,
        },
        "livenessProbe": {"tcpSocket": {"port": "grpc"}, "initialDelaySeconds": 30, "periodSeconds": 10},
        # Until no Service sends requests here any more.
        "lifecycle": {"preStop": {"exec": {"command": ["sleep", "10"]}}},
        "resources": {"requests": {"cpu": "1", "memory": "512Mi"}, "limits": {"memory": "2Gi"}},
        "volumeMounts": [
            {"name": "models", "mountPath": f"/models/{name}", "subPath": name, "readOnly": True},
            {"name": "config", "mountPath": _CONFIG, "readOnly": True},
        ],
    }
    return {
        "containers": [container],
        "terminationGracePeriodSeconds": 60,
        "volumes": [
            {"name": "models", "persistentVolumeClaim": {"claimName": "models", "readOnly": True}},
            {"name": "config", "configMap": {"name": name}},
        ],
    }


def _inference_service(name: str, options: ServingOptions) -> dict[str, Any]:
    least, most = options.replicas
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {"name": name},
        "spec": {
            "predictor": {
                "minReplicas": least,
                "maxReplicas": most,
                "model": {"modelFormat": {"name": "tensorflow"}, "storageUri": f"pvc://models/{name}"},
            }
        },
    }


def _yaml(*documents: dict[str, Any]) -> str:
    dump: Callable[..., str] = yaml.safe_dump_all
    # Nothing is shortened to an alias, which not every reader of manifests follows.
    plain = json.loads(json.dumps(documents))
    return dump(plain, sort_keys=False, allow_unicode=True)


def _readme(name: str, options: ServingOptions) -> str:
    label = next(iter(options.labels), None)
    labelled = f"/labels/{label}" if label else ""
    return f"""\
# Serving {name}

- `docker-compose.yaml`: TensorFlow Serving on this machine. Run `docker compose up` in this folder.
- `kubernetes.yaml`: ConfigMap, Deployment, Services, HorizontalPodAutoscaler and PodDisruptionBudget. Run
  `kubectl apply -f kubernetes.yaml`. Needs a PersistentVolumeClaim `models` with the folder `{name}`, which has a
  folder for each version.
- `kserve.yaml`: the same by KServe, without the configuration files. Run `kubectl apply -f kserve.yaml`.
- `models.config` and others: settings of TensorFlow Serving.

Signatures: `{SIGNATURE}` takes tensors, and `examples` takes serialized tf.Examples. If the data went through
Transform, `raw_features` takes tensors, and `{SIGNATURE}` takes tf.Examples.

    curl -d '{{"instances": [...]}}' localhost:{_REST}/v1/models/{name}{labelled}:predict

By gRPC, a client takes turns among the servers of Kubernetes if it connects to `dns:///{name}-grpc:{_GRPC}` with
the load balancing policy `round_robin`.
"""
