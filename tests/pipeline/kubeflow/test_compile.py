"""What is compiled for a cluster is what KFP reads, what the image can run and what the config says."""

from __future__ import annotations

import hashlib
import json
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from google.protobuf import json_format
from kfp import components as kfp_components
from kfp.pipeline_spec import pipeline_spec_pb2
from ruamel.yaml import YAML

from components.measurer.machine import cpu_name
from pipeline.config.config_file import load
from pipeline.plan.node import EXAMPLE_GENS
from pipeline.plan.plan import make_plan
from tests.pipeline.kubeflow.conftest import CONFIGS, IMAGE, MNIST, PIPELINE_ROOT, TARGETS

Compile = Callable[..., Any]

# https://kubernetes.io/docs/concepts/overview/working-with-objects/names/#dns-label-names
RFC_1123_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")

every_spec = pytest.mark.parametrize("target", TARGETS)
every_config = pytest.mark.parametrize("config", CONFIGS)
# With and without Transform: what the other configs have more is the same for both targets.
VERTEX = (MNIST, "configs/taxi/pipeline.yaml")
every_pipeline = pytest.mark.parametrize(
    ("config", "target"),
    [*((config, "kubeflow") for config in CONFIGS), *((config, "vertex") for config in VERTEX)],
)


def tasks_of(compiled: Any) -> dict[str, Any]:
    return compiled.spec["root"]["dag"]["tasks"]


def container_of(compiled: Any, task: str) -> dict[str, Any]:
    label = compiled.spec["components"][task]["executorLabel"]
    return compiled.spec["deploymentSpec"]["executors"][label]["container"]


def argument(compiled: Any, task: str, name: str) -> str | None:
    arguments = container_of(compiled, task)["args"]
    return arguments[arguments.index(name) + 1] if name in arguments else None


def constants_of(compiled: Any, task: str) -> dict[str, Any]:
    """JSON parameters of a task."""
    found = {}
    for key, value in tasks_of(compiled)[task]["inputs"]["parameters"].items():
        constant = value.get("runtimeValue", {})
        text = constant.get("constant") or constant.get("constantValue", {}).get("stringValue", "")
        if isinstance(text, str) and text.startswith("{"):
            found[key] = json.loads(text)
    return found


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
def test_parameters_of_the_run_reach_what_they_set(compiled: Compile, target: str) -> None:
    done = compiled(MNIST, target)
    bound: dict[str, set[tuple[str, str]]] = {}
    for name, task in tasks_of(done).items():
        for key, value in task["inputs"].get("parameters", {}).items():
            if "componentInputParameter" in value:
                bound.setdefault(value["componentInputParameter"], set()).add((name, key))
            else:
                assert set(value) == {"runtimeValue"}
    assert bound["data_path"] == {("import-example-gen", "input_base")}
    assert bound["data_fingerprint"] == {("import-example-gen", "data_fingerprint")}
    assert bound["push_directory"] == {("pusher", "push_directory")}
    seeded = {
        name
        for name in tasks_of(done)
        if name.startswith(("convert", "prune", "qat", "distill"))
        and not name.endswith(("-evaluate", "-predict"))
    }
    assert bound["seed"] == {(name, "seed") for name in seeded | {"trainer"}}
    assert argument(done, "trainer", "--write") == "seed=custom_config.seed"
    # What the run sets stands nowhere else, where it could only be wrong.
    assert "seed" not in constants_of(done, "trainer")["custom_config"]
    assert constants_of(done, "pusher")["push_destination"] == {"filesystem": {}}
    assert (
        argument(done, "pusher", "--write") == "push_directory=push_destination.filesystem.base_directory"
    )


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


@every_spec
def test_candidates_are_independent_branches(compiled: Compile, target: str) -> None:
    done = compiled(MNIST, target)
    file = load(MNIST)
    plan = make_plan(file.config, file.path)
    tasks = tasks_of(done)

    def ancestors(name: str) -> set[str]:
        above = tasks[name].get("dependentTasks", [])
        return set(above).union(*map(ancestors, above))

    shared = {"import-example-gen", "statistics-gen", "schema-gen", "example-validator", "anomaly-gate"}
    shared |= {"trainer", "convert-float32", "convert-float32-predict"}
    for name, node in plan.evaluations.items():
        needed = {n.id for n in plan.nodes if name in n.candidates} - {node}
        assert ancestors(node) - shared == needed
    # Six conversions of the trained models, of which two begin at the baseline and one is the baseline's.
    assert width(done) == 6
    assert width(compiled(MNIST, target, only=["int8", "dynamic"])) == 3
    assert width(compiled("configs/mnist/techniques.yaml", target)) >= 16


def width(done: Any) -> int:
    from pipeline.kubeflow.spec import Spec

    return Spec.model_validate(done.spec).width()


def parts(done: Any) -> dict[str, str]:
    """Task → all that the specification says of it."""
    return {
        name: json.dumps([task, done.spec["components"][name], container_of(done, name)], sort_keys=True)
        for name, task in tasks_of(done).items()
    }


@every_spec
def test_changing_one_candidate_changes_its_own_tasks_alone(compiled: Compile, target: str) -> None:
    before = parts(compiled(MNIST, target))
    after = parts(compiled(MNIST, target, "candidates.qat-int8.0.qat.epochs=3"))
    removed, added = set(before) - set(after), set(after) - set(before)
    assert removed == {
        "qat",
        "qat-convert-int8-01556e",
        "qat-convert-int8-01556e-measure",
        "qat-convert-int8-01556e-evaluate",
    }
    assert len(added) == 4
    assert all(
        re.fullmatch(r"qat-[0-9a-f]{6}(-convert-int8-01556e(-measure|-evaluate)?)?", name) for name in added
    )
    changed = {name for name in set(before) & set(after) if before[name] != after[name]}
    assert changed == {"selector"}  # which reads the candidate


@every_spec
def test_adding_a_candidate_adds_its_own_tasks_alone(compiled: Compile, target: str) -> None:
    before = parts(compiled(MNIST, target))
    more = "candidates.more=[{prune: {sparsity: 0.8, epochs: 2}}, {convert: {quantization: dynamic}}]"
    after = parts(compiled(MNIST, target, more))
    added = set(after) - set(before)
    assert {name.partition("-convert")[2] for name in added} == {
        "-dynamic",
        "-dynamic-measure",
        "-dynamic-evaluate",
    }
    assert {name for name in before if before[name] != after[name]} == {"selector"}


def test_data_that_change_under_the_same_path_change_the_fingerprint(tmp_path: Path) -> None:
    from pipeline.kubeflow.fingerprint import of_config as fingerprint
    from pipeline.kubeflow.parameters import run_parameters

    (tmp_path / "train-1").write_bytes(b"one")
    (tmp_path / "test-1").write_bytes(b"two")
    config = load(MNIST, [f"data.path={tmp_path}"]).config
    first = fingerprint(config)
    assert re.fullmatch("[0-9a-f]{32}", first)
    (tmp_path / "train-1").touch()
    assert fingerprint(config) == first  # the same content at another time
    (tmp_path / "train-1").write_bytes(b"One")
    second = fingerprint(config)
    (tmp_path / "train-1").write_bytes(b"onet")
    (tmp_path / "test-1").write_bytes(b"wo")
    (tmp_path / "train-2").write_bytes(b"")
    assert len({first, second, fingerprint(config)}) == 3
    plan = make_plan(config, Path(MNIST))
    (found,) = [p for p in run_parameters(plan, config, first) if p.name == "data_fingerprint"]
    assert found.default == first
    # In KFP's cache key is what a task is given, so the fingerprint has to be given to the one that reads.
    assert [binding.node for binding in found.bindings] == [EXAMPLE_GENS["tfrecord"]]


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


@every_spec
def test_each_task_that_reads_an_imported_model_finds_it_where_the_run_says(
    compiled: Compile, target: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    from pipeline.kubeflow.executor_input import write_parameter

    model = tmp_path_factory.mktemp("imported") / "model.keras"
    with zipfile.ZipFile(model, "w") as archive:
        archive.writestr("metadata.json", json.dumps({"keras_version": "2.16.0"}))
        archive.writestr("config.json", json.dumps({"compile_config": {"loss": "mse"}}))
    section = (
        f"model={{module: configs.mnist.model, import: {{path: {model}, inputs: {{input_1: image}}}}}}"
    )
    place = "kubeflow.model_path=/mnt/models/model.keras"
    done = compiled(MNIST, target, section, place, only=["int8", "pruned-int8"])
    tasks = tasks_of(done)

    assert "trainer" not in tasks
    readers = {name for name in tasks if "model_source" in constants_of(done, name)}
    assert "model-importer" in readers and len(readers) == 5
    for name in readers:
        source = constants_of(done, name)["model_source"]
        assert str(model) not in json.dumps(tasks[name])
        assert source["import"]["sha256"] == hashlib.sha256(model.read_bytes()).hexdigest()
        given = {
            "inputs": {"parameterValues": {"model_path": "gs://b/m", "model_source": json.dumps(source)}}
        }
        write_parameter(given, argument(done, name, "--write"))
        written = json.loads(given["inputs"]["parameterValues"]["model_source"])
        assert written == {"import": {**source["import"], "path": "gs://b/m"}}
    (parameter,) = [known for known in done.parameters if known.name == "model_path"]
    assert parameter.default == "/mnt/models/model.keras"
