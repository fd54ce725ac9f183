"""What is compiled for a cluster is what KFP reads, what the image can run and what the config says."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml
from google.protobuf import json_format
from kfp import components as kfp_components
from kfp.pipeline_spec import pipeline_spec_pb2
from ruamel.yaml import YAML

from pipeline.config.config_file import load
from pipeline.kubeflow.compile import compile_each
from pipeline.plan.planner import make_plan
from tests.pipeline.kubeflow.conftest import CONFIGS, IMAGE, MNIST, PIPELINE_ROOT, ROOT
from tests.pipeline.kubeflow.specification import Compile, argument, container_of, every_spec, tasks_of

# https://kubernetes.io/docs/concepts/overview/working-with-objects/names/#dns-label-names
RFC_1123_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
every_config = pytest.mark.parametrize("config", CONFIGS)
# With and without Transform: what the other configs have more is the same for both targets.
VERTEX = (MNIST, "configs/taxi/pipeline.yaml")
every_pipeline = pytest.mark.parametrize(
    ("config", "target"),
    [*((config, "kubeflow") for config in CONFIGS), *((config, "vertex") for config in VERTEX)],
)


@every_config
def test_kubeflow_gets_a_specification_that_kfp_reads(compiled: Compile, config: str) -> None:
    done = compiled(config, "kubeflow")
    documents = list(yaml.safe_load_all(done.text()))
    spec = json_format.ParseDict(documents[0], pipeline_spec_pb2.PipelineSpec())
    assert (spec.schema_version, spec.default_pipeline_root) == ("2.1.0", PIPELINE_ROOT)
    deployment = json_format.ParseDict(
        documents[0]["deploymentSpec"], pipeline_spec_pb2.PipelineDeploymentConfig()
    )
    assert len(deployment.executors) == len(spec.root.dag.tasks)
    loaded = kfp_components.load_component_from_text(done.text())
    assert loaded.name == spec.pipeline_info.name
    assert {name: value.default for name, value in loaded.component_spec.inputs.items()} == {
        "data_path": load(config).config.kubeflow.data_path,
        "data_fingerprint": "0123",
        "push_directory": load(config).config.kubeflow.push_directory,
        "seed": 42,
    }


def test_several_targets_are_a_pipeline_each_with_the_same_trained_models(tmp_path: Path) -> None:
    cluster = "kubeflow={data_path: /paredown/data/mnist, push_directory: gs://bucket/serving/}"
    written = compile_each(
        ROOT / "configs/mnist/targets.yaml",
        [cluster, "targets=[mobile, {kind: microcontroller, ram: 16 kB}]", "push={directory: serving}"],
        ["int8"],
        "kubeflow",
        IMAGE,
        PIPELINE_ROOT,
        str(tmp_path / "digits.yaml"),
    )
    assert [Path(one.output).name for one in written.values()] == [
        "digits-mobile.yaml",
        "digits-microcontroller.yaml",
    ]
    mobile, micro = (yaml.safe_load(one.compiled.text()) for one in written.values())
    # KFP's cache looks for tasks of the same pipeline.
    assert mobile["pipelineInfo"] == micro["pipelineInfo"] == {"name": "mnist-targets"}
    trainers = [one["deploymentSpec"]["executors"]["trainer_executor"] for one in (mobile, micro)]
    assert trainers[0] == trainers[1]
    pushed = [
        one["root"]["inputDefinitions"]["parameters"]["push_directory"]["defaultValue"]
        for one in (mobile, micro)
    ]
    assert pushed == ["gs://bucket/serving/mobile", "gs://bucket/serving/microcontroller"]


def test_the_yaml_is_read_alike_by_both_versions(compiled: Compile) -> None:
    """PyYAML reads 1.1; ruamel.yaml and KFP's backend 1.2, where 12e34567 is a number."""
    from pipeline.kubeflow.compiled import Compiled

    doubtful = ["12e34567", "1e5", "-3.5E-2", "0x1f", "0o17", "017", "0b1", "1_000", ".inf", ".5", "5."]
    doubtful += [
        "y",
        "N",
        "yes",
        "off",
        "true",
        "null",
        "~",
        "",
        "=",
        "1:30",
        "2024-01-01",
        "<<",
        "a: b",
        "# a",
    ]
    for index, text in enumerate(doubtful):
        written = Compiled(
            "kubeflow", {"pipelineSpec": {"value": text, f"key{index}": [text]}}, {}, ()
        ).text()
        for loaded in (yaml.safe_load(written), YAML(typ="safe", pure=True).load(written)):
            assert loaded == {"value": text, f"key{index}": [text]}
    written = compiled(MNIST, "kubeflow", only=["int8"]).text()
    assert YAML(typ="safe", pure=True).load(written) == yaml.safe_load(written)


@pytest.mark.parametrize("config", VERTEX)
def test_vertex_gets_a_job_that_its_client_reads(compiled: Compile, config: str) -> None:
    done = compiled(config, "vertex")
    job = json.loads(done.text())
    message = json_format.ParseDict(job, pipeline_spec_pb2.PipelineJob())
    assert message.runtime_config.gcs_output_directory == PIPELINE_ROOT
    spec = json_format.ParseDict(job["pipelineSpec"], pipeline_spec_pb2.PipelineSpec())
    assert spec.schema_version == "2.0.0"
    kinds = {name: value.type for name, value in spec.root.input_definitions.parameters.items()}
    types = pipeline_spec_pb2.PrimitiveType
    assert kinds == {
        "data_path": types.STRING,
        "data_fingerprint": types.STRING,
        "push_directory": types.STRING,
        "seed": types.INT,
    }
    values = message.runtime_config.parameters
    assert set(values) == set(kinds)
    assert values["seed"].int_value == 42
    assert values["data_path"].string_value == load(config).config.kubeflow.data_path


@every_pipeline
def test_tasks_are_the_nodes_of_the_plan(compiled: Compile, config: str, target: str) -> None:
    from pipeline.kubeflow.task_names import task_names

    done = compiled(config, target)
    file = load(config)
    plan = make_plan(file.config, file.path)
    names = task_names(plan)
    assert set(tasks_of(done)) == set(names.values())
    for node in plan.nodes:
        task = tasks_of(done)[names[node.id]]
        read = {
            key: (
                source["taskOutputArtifact"]["producerTask"],
                source["taskOutputArtifact"]["outputArtifactKey"],
            )
            for key, source in task["inputs"].get("artifacts", {}).items()
        }
        assert read == {key: (names[source.node], source.key) for key, source in node.inputs.items()}
        assert set(task.get("dependentTasks", [])) == {producer for producer, _ in read.values()}
        for producer, key in read.values():
            outputs = done.spec["components"][producer]["outputDefinitions"]["artifacts"]
            assert key in outputs, f"{producer} has no output {key}"


@every_pipeline
def test_names_are_labels_of_kubernetes(compiled: Compile, config: str, target: str) -> None:
    done = compiled(config, target)
    for name in [done.spec["pipelineInfo"]["name"], *tasks_of(done), *done.spec["components"]]:
        assert RFC_1123_LABEL.fullmatch(name), name
        assert len(name) <= 47
    executors = [component["executorLabel"] for component in done.spec["components"].values()]
    assert len(set(executors)) == len(executors)
    # KFP's backend keeps a task under a hash of its container.
    containers = {json.dumps(container_of(done, task), sort_keys=True) for task in tasks_of(done)}
    assert len(containers) == len(executors)


@every_pipeline
def test_executors_and_artifact_types_resolve_by_import(
    compiled: Compile, config: str, target: str
) -> None:
    from tfx.dsl.components.base import base_executor
    from tfx.orchestration.kubeflow.v2.container import kubeflow_v2_entrypoint_utils
    from tfx.types import artifact
    from tfx.utils import import_utils

    done = compiled(config, target)
    for task in tasks_of(done):
        path = argument(done, task, "--executor_class_path")
        assert issubclass(import_utils.import_class_by_path(path), base_executor.BaseExecutor)
    schemas = {
        definition["artifactType"]["instanceSchema"]
        for component in done.spec["components"].values()
        for side in ("inputDefinitions", "outputDefinitions")
        for definition in component.get(side, {}).get("artifacts", {}).values()
    }
    titles = {yaml.safe_load(schema)["title"] for schema in schemas}
    assert "components.OptimizationReport" in titles
    for schema in schemas:
        message = pipeline_spec_pb2.ArtifactTypeSchema(instance_schema=schema)
        path = kubeflow_v2_entrypoint_utils._retrieve_class_path(message)
        assert issubclass(import_utils.import_class_by_path(path), artifact.Artifact)


@every_spec
def test_containers_run_the_entrypoint_of_the_image(compiled: Compile, target: str) -> None:
    done = compiled(MNIST, target)
    for task in tasks_of(done):
        container = container_of(done, task)
        assert container["image"] == IMAGE
        assert container["command"] == ["python", "-m", "pipeline.kubeflow_entrypoint"]
        assert argument(done, task, "--node") == task
        assert argument(done, task, "--json_serialized_invocation_args") == "{{$}}"
        inputs = argument(done, task, "--json_serialized_inputs_spec_args")
        if target == "kubeflow":
            assert json.loads(inputs) == done.spec["components"][task].get("inputDefinitions", {})
            assert "lifecycle" not in container
        else:
            assert inputs is None


@every_spec
def test_nothing_of_this_machine_is_in_a_specification(compiled: Compile, target: str) -> None:
    """Other paths and times must not make another pipeline of the same config."""
    text = compiled(MNIST, target).text()
    assert str(Path.cwd()) not in text
    assert "metadata.sqlite" not in text
    assert ".paredown" not in text


def test_compiling_twice_gives_the_same_text() -> None:
    from tests.pipeline.kubeflow.conftest import compile_here

    assert compile_here(MNIST, "kubeflow").text() == compile_here(MNIST, "kubeflow").text()


def test_a_model_module_beside_its_config_is_found_in_the_image(
    compiled: Compile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.pipeline.kubeflow.conftest import compile_here

    project = tmp_path / "project"
    (project / "examples").mkdir(parents=True)
    text = Path(MNIST).read_text(encoding="utf-8").replace("configs.mnist.model", "my_model")
    config = project / "examples" / "pipeline.yaml"
    config.write_text(
        text.replace("../../data/mnist", str(Path("data/mnist").absolute()), 1), encoding="utf-8"
    )
    (project / "examples" / "my_model.py").write_text("def build_model(hparams): ...", encoding="utf-8")
    assert argument(compiled(MNIST), "trainer", "--module_root") is None
    monkeypatch.chdir(project)
    done = compile_here("examples/pipeline.yaml", "kubeflow", only=["int8"])
    assert argument(done, "trainer", "--module_root") == "examples"


def test_an_artifact_type_that_kubeflow_cannot_hold_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from tfx.types.artifact import Property, PropertyType

    from components.artifacts import OptimizationReport
    from pipeline.kubeflow.checks import CompileError
    from tests.pipeline.kubeflow.conftest import compile_here

    monkeypatch.setattr(OptimizationReport, "PROPERTIES", {"winner": Property(PropertyType.STRING)})
    with pytest.raises(
        CompileError, match=r"selector: 'report' is .* OptimizationReport declares PROPERTIES"
    ):
        compile_here(MNIST, "kubeflow", only=["int8"])
    monkeypatch.setattr(OptimizationReport, "PROPERTIES", None)
    monkeypatch.setattr(OptimizationReport, "TYPE_NAME", "OptimizationReport")
    with pytest.raises(CompileError, match=r"is called 'OptimizationReport'; name it <package>\.<Type>"):
        compile_here(MNIST, "kubeflow", only=["int8"])
