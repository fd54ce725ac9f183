"""Each file by the schema of who reads it: TensorFlow Serving's messages, Compose's structure, Kubernetes's schemas."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from google.protobuf import descriptor_pb2, descriptor_pool, text_format, wrappers_pb2

from components.common.base import compatibility
from components.common.serving.stubs import model_server_config_pb2
from components.targets.server import deployment
from components.targets.server.params import ServingOptions

_FIELD = descriptor_pb2.FieldDescriptorProto
# Of tensorflow_serving/servables/tensorflow/session_bundle_config.proto and config/monitoring_config.proto, which
# tensorflow-serving-api does not have: message → field → (number, type).
_MESSAGES = {
    "BatchingParameters": {
        "max_batch_size": (1, ".google.protobuf.Int64Value"),
        "batch_timeout_micros": (2, ".google.protobuf.Int64Value"),
        "max_enqueued_batches": (3, ".google.protobuf.Int64Value"),
        "num_batch_threads": (4, ".google.protobuf.Int64Value"),
        "thread_pool_name": (5, ".google.protobuf.StringValue"),
        "pad_variable_length_inputs": (7, _FIELD.TYPE_BOOL),
    },
    "PrometheusConfig": {"enable": (1, _FIELD.TYPE_BOOL), "path": (2, _FIELD.TYPE_STRING)},
    "MonitoringConfig": {"prometheus_config": (1, ".paredown.test.PrometheusConfig")},
}


def message(name: str) -> Any:
    file = descriptor_pb2.FileDescriptorProto(
        name="paredown_test.proto", package="paredown.test", syntax="proto3"
    )
    file.dependency.append(wrappers_pb2.DESCRIPTOR.name)
    for kind, fields in _MESSAGES.items():
        made = file.message_type.add(name=kind)
        for field, (number, of) in fields.items():
            where = {"type_name": of} if isinstance(of, str) else {"type": of}
            made.field.add(name=field, number=number, label=_FIELD.LABEL_OPTIONAL, **where)
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(wrappers_pb2.DESCRIPTOR.serialized_pb)
    pool.Add(file)
    return compatibility.message_class(pool, f"paredown.test.{name}")()


class Written:
    """The files of one push."""

    def __init__(self, folder: Path, **options: Any):
        asked = ServingOptions(**{"name": "mnist", **options}).model_dump(mode="json")
        names = deployment.write(b"", folder, asked)
        assert sorted(names) == sorted(f"deploy/{path.name}" for path in (folder / "deploy").iterdir())
        self.texts = {name.partition("/")[2]: (folder / name).read_text() for name in names}

    def yaml(self, name: str) -> list[dict[str, Any]]:
        return list(yaml.safe_load_all(self.texts[name]))

    def kubernetes(self) -> dict[str, dict[str, Any]]:
        return {f"{one['kind']} {one['metadata']['name']}": one for one in self.yaml("kubernetes.yaml")}


def test_tensorflow_serving_reads_its_files(tmp_path: Path) -> None:
    written = Written(tmp_path, batching={"max_batch_size": 16, "num_batch_threads": 4})
    models = text_format.Parse(written.texts["models.config"], model_server_config_pb2.ModelServerConfig())
    (model,) = models.model_config_list.config
    assert (model.name, model.base_path, model.model_platform) == ("mnist", "/models/mnist", "tensorflow")
    assert model.model_version_policy.latest.num_versions == 1
    batching = text_format.Parse(written.texts["batching.config"], message("BatchingParameters"))
    assert (batching.max_batch_size.value, batching.batch_timeout_micros.value) == (16, 1000)
    assert (batching.max_enqueued_batches.value, batching.num_batch_threads.value) == (100, 4)
    monitoring = text_format.Parse(written.texts["monitoring.config"], message("MonitoringConfig"))
    assert monitoring.prometheus_config.enable
    assert monitoring.prometheus_config.path == "/monitoring/prometheus/metrics"


def test_labels_are_of_versions_that_are_served(tmp_path: Path) -> None:
    written = Written(tmp_path, labels={"stable": 7, "canary": 9, "old": 7})
    models = text_format.Parse(written.texts["models.config"], model_server_config_pb2.ModelServerConfig())
    (model,) = models.model_config_list.config
    assert list(model.model_version_policy.specific.versions) == [7, 9]
    assert dict(model.version_labels) == {"stable": 7, "canary": 9, "old": 7}
    (compose,) = written.yaml("docker-compose.yaml")
    assert "--allow_version_labels_for_unavailable_models=true" in compose["services"]["mnist"]["command"]
    assert "/v1/models/mnist/labels/stable:predict" in written.texts["README.md"]


@pytest.mark.parametrize("version", ["1.28", "1.34"])
def test_kubernetes_takes_every_object(tmp_path: Path, version: str) -> None:
    found = Written(tmp_path, replicas=[3, 8]).kubernetes()
    assert list(found) == [
        "ConfigMap mnist",
        "Deployment mnist",
        "Service mnist",
        "Service mnist-grpc",
        "HorizontalPodAutoscaler mnist",
        "PodDisruptionBudget mnist",
    ]
    for one in found.values():
        kubernetes_validate.validate(one, version, strict=True)
    found["Deployment mnist"]["spec"]["replicas"] = "3"
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(found["Deployment mnist"], version, strict=True)


def test_objects_of_kubernetes_name_each_other(tmp_path: Path) -> None:
    found = Written(tmp_path, replicas=[3, 8]).kubernetes()
    deployment_spec = found["Deployment mnist"]["spec"]
    pod = deployment_spec["template"]
    (container,) = pod["spec"]["containers"]
    labels = pod["metadata"]["labels"]
    for selector in (
        deployment_spec["selector"]["matchLabels"],
        found["Service mnist"]["spec"]["selector"],
        found["Service mnist-grpc"]["spec"]["selector"],
        found["PodDisruptionBudget mnist"]["spec"]["selector"]["matchLabels"],
    ):
        assert selector == labels
    scaler = found["HorizontalPodAutoscaler mnist"]["spec"]
    assert scaler["scaleTargetRef"]["name"] == found["Deployment mnist"]["metadata"]["name"]
    assert (scaler["minReplicas"], scaler["maxReplicas"], deployment_spec["replicas"]) == (3, 8, 3)
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert {port["name"]: port["port"] for port in found["Service mnist"]["spec"]["ports"]} == ports
    assert (
        f"--port={ports['grpc']}" in container["args"]
        and f"--rest_api_port={ports['rest']}" in container["args"]
    )
    assert container["readinessProbe"]["httpGet"] == {"path": "/v1/models/mnist/metadata", "port": "rest"}
    volumes = {volume["name"] for volume in pod["spec"]["volumes"]}
    assert {mount["name"] for mount in container["volumeMounts"]} == volumes
    # Every file that the settings name is mounted.
    named = [
        argument.partition("=/config/")[2] for argument in container["args"] if "=/config/" in argument
    ]
    assert sorted(named) == sorted(found["ConfigMap mnist"]["data"])


def test_compose_and_kserve_serve_the_same_folder(tmp_path: Path) -> None:
    written = Written(tmp_path)
    (compose,) = written.yaml("docker-compose.yaml")
    service = compose["services"]["mnist"]
    assert service["image"] == "tensorflow/serving:2.16.1"
    # From serving/mnist/<version>/deploy, the folder of the versions.
    source, target, mode = service["volumes"][0].split(":")
    assert (tmp_path / "deploy" / source).resolve() == tmp_path.parent
    assert (target, mode) == ("/models/mnist", "ro")
    (inference,) = written.yaml("kserve.yaml")
    assert (inference["apiVersion"], inference["kind"]) == ("serving.kserve.io/v1beta1", "InferenceService")
    predictor = inference["spec"]["predictor"]
    assert predictor["model"] == {"modelFormat": {"name": "tensorflow"}, "storageUri": "pvc://models/mnist"}
    assert (predictor["minReplicas"], predictor["maxReplicas"]) == (2, 10)


def test_what_is_switched_off_is_not_there(tmp_path: Path) -> None:
    written = Written(tmp_path, batching=None, monitoring=False)
    assert not {"batching.config", "monitoring.config"} & set(written.texts)
    (container,) = written.kubernetes()["Deployment mnist"]["spec"]["template"]["spec"]["containers"]
    assert not [
        argument for argument in container["args"] if "batching" in argument or "monitoring" in argument
    ]
    assert "annotations" not in written.kubernetes()["Deployment mnist"]["spec"]["template"]["metadata"]
