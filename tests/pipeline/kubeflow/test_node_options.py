"""Options of nodes in a compiled specification: resources, volumes, caching, retries."""

from __future__ import annotations

import re

import yaml
from google.protobuf import json_format
from kfp import components as kfp_components
from kfp.pipeline_spec import pipeline_spec_pb2

from components.measurer.machine import cpu_name
from tests.pipeline.kubeflow.conftest import MNIST
from tests.pipeline.kubeflow.specification import Compile, container_of, every_spec, tasks_of


def test_options_of_nodes_are_in_the_specification(compiled: Compile) -> None:
    done = compiled(
        MNIST,
        "kubeflow",
        "kubeflow.defaults={cpu: 500m, memory: 2G, retries: 2, env: {A: one, B: two}}",
        "kubeflow.volumes=[{claim: data, mount: /mnt/data}]",
        "kubeflow.nodes={ImportExampleGen: {cpu: 3}, prune: {accelerator: {type: nvidia.com/gpu}}, "
        "'*-measure': {node_selector: {kind: quiet}, retries: 0}, Trainer: {env: {B: three}}}",
    )
    common = {"cpuLimit": 0.5, "cpuRequest": 0.5, "memoryLimit": 2.0, "memoryRequest": 2.0}
    assert container_of(done, "trainer")["resources"] == common
    # TFX itself drops resources of ExampleGen.
    reading = container_of(done, "import-example-gen")["resources"]
    assert reading == {**common, "cpuLimit": 3.0, "cpuRequest": 3.0}
    pruning = [name for name in tasks_of(done) if re.fullmatch(r"prune-[0-9a-f]{6}", name)]
    assert len(pruning) == 1
    gpu = {"accelerator": {"type": "nvidia.com/gpu", "count": "1"}}
    assert container_of(done, pruning[0])["resources"] == {**common, **gpu}
    environment = [{"name": "A", "value": "one"}, {"name": "B", "value": "three"}]
    assert container_of(done, "trainer")["env"] == environment
    assert container_of(done, "selector")["env"][1] == {"name": "B", "value": "two"}

    measuring = {name for name in tasks_of(done) if name.endswith("-measure")}
    assert len(measuring) == 6
    for name, task in tasks_of(done).items():
        # Which machine measures is not known, so no other's times may be taken.
        assert task["cachingOptions"] == ({} if name in measuring else {"enableCache": True})
        assert task.get("retryPolicy", {}).get("maxRetryCount") == (None if name in measuring else 2)

    platform = list(yaml.safe_load_all(done.text()))[1]
    json_format.ParseDict(platform, pipeline_spec_pb2.PlatformSpec())
    executors = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    assert set(executors) == set(done.spec["deploymentSpec"]["executors"])
    mounted = {"pvcMount": [{"constant": "data", "mountPath": "/mnt/data"}]}
    assert executors["trainer_executor"] == mounted
    chosen = {name for name, found in executors.items() if "nodeSelector" in found}
    assert chosen == {f"{name}_executor" for name in measuring}
    assert executors["convert-dynamic-measure_executor"]["nodeSelector"] == {"labels": {"kind": "quiet"}}
    # The loader of KFP's client reads both documents.
    loaded = kfp_components.load_component_from_text(done.text())
    assert "kubernetes" in loaded.platform_spec.platforms


@every_spec
def test_measurements_of_machines_of_one_kind_may_be_cached(compiled: Compile, target: str) -> None:
    done = compiled(MNIST, target, "kubeflow.nodes={'*-measure': {cache: true}}", only=["int8"])
    assert all(task["cachingOptions"] == {"enableCache": True} for task in tasks_of(done).values())
    assert cpu_name() not in done.text()


def test_vertex_takes_limits_alone(compiled: Compile) -> None:
    done = compiled(
        MNIST, "vertex", "kubeflow.nodes={Trainer: {accelerator: {type: NVIDIA_TESLA_T4, count: 2}}}"
    )
    assert container_of(done, "trainer")["resources"] == {
        "cpuLimit": 2.0,
        "memoryLimit": 6.0,
        "accelerator": {"type": "NVIDIA_TESLA_T4", "count": "2"},
    }
    assert tasks_of(done)["trainer"]["retryPolicy"]["maxRetryCount"] == 1
