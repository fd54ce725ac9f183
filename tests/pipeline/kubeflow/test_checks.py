"""What a cluster cannot run is refused before TFX is imported, with the reason and the fix."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from pipeline.cli import main
from pipeline.config.config_file import load
from pipeline.config.kubeflow_options import NodeOptions, cores, gigabytes, matches
from pipeline.config.problem import ConfigError
from pipeline.kubeflow import checks as kubeflow_checks
from pipeline.kubeflow import module_folder
from pipeline.kubeflow import task_names as names
from pipeline.kubeflow.compile import write
from pipeline.plan.planner import make_plan
from tests.pipeline.kubeflow.conftest import IMAGE, MNIST


def problems(
    *overrides: str, target: str = "kubeflow", image: str = IMAGE, root: str = "minio://bucket/paredown"
) -> list[str]:
    file = load(MNIST, list(overrides))
    plan = make_plan(file.config, file.path)
    found = kubeflow_checks.check(file, plan, target, image, root)  # type: ignore[arg-type]
    return [str(problem) for problem in found]


def problem(*overrides: str, **options: str) -> str:
    (found,) = problems(*overrides, **options)
    return found


def test_the_example_is_right_for_both_targets() -> None:
    assert problems() == []
    assert problems(target="vertex", root="gs://bucket/paredown") == []


@pytest.mark.parametrize(
    "image",
    [
        "paredown",
        "localhost:5000/paredown:1",
        "gcr.io/p/paredown@sha256:" + "0" * 64,
        "a.b-c.io/x_y/z__w:v1.2-rc",
    ],
)
def test_names_of_images_that_docker_takes(image: str) -> None:
    assert problems(image=image) == []


@pytest.mark.parametrize("image", ["", "My/Image", "a b", "paredown:", "https://gcr.io/x", "x@sha256:12"])
def test_other_names_are_refused(image: str) -> None:
    assert f"--image: {image!r} is not a name of a container image" in problem(image=image)


@pytest.mark.parametrize(
    ("target", "root", "reported"),
    [
        ("kubeflow", "/tmp/root", "'/tmp/root' is not in an object store that Kubeflow Pipelines supports"),
        (
            "kubeflow",
            "hdfs://x/y",
            "write gs://bucket/folder or s3://bucket/folder or minio://bucket/folder",
        ),
        ("vertex", "minio://x/y", "that Vertex AI Pipelines supports"),
        ("vertex", "s3://x/y", "write gs://bucket/folder"),
        ("kubeflow", "minio://", "must be a bucket"),
        ("kubeflow", "minio://a/b*", "without ? # * [ ]"),
    ],
)
def test_a_pipeline_root_that_the_target_does_not_know_is_refused(
    target: str, root: str, reported: str
) -> None:
    assert reported in problem(target=target, root=root)


def test_what_is_on_this_machine_alone_is_refused() -> None:
    found = problems("kubeflow={}")
    assert len(found) == 2
    assert "kubeflow.data_path: is missing: data.path, data/mnist, is on this machine" in found[0]
    assert (
        "kubeflow.push_directory: is missing: push.directory, serving/mnist, is on this machine" in found[1]
    )
    with pytest.raises(ConfigError, match="'data/mnist' is relative"):
        load(MNIST, ["kubeflow.data_path=data/mnist"])
    with pytest.raises(ConfigError, match="hdfs://, which is not supported"):
        load(MNIST, ["kubeflow.data_path=hdfs://x"])


def test_an_imported_model_has_to_be_where_tasks_find_it(tmp_path: Path) -> None:
    (tmp_path / "saved_model.pb").write_bytes(b"\x08\x01\x12\x00")  # version 1, one empty graph
    imported = f"model={{module: configs.mnist.model, import: {tmp_path}}}"

    assert "kubeflow.model_path: is missing: the imported model, " in problem(imported)
    assert problems(imported, "kubeflow.model_path=gs://bucket/model") == []
    reported = problem(imported, "kubeflow.model_path=s3://bucket/model")
    assert "TensorFlow cannot read s3://, of which" in reported
    reported = problem("kubeflow.model_path=gs://bucket/model")
    assert "is only for an imported model, and there is no model.import; remove it" in reported


def test_what_a_task_would_lose_is_refused() -> None:
    lost = "kubeflow.push_directory=/serving"
    assert "gone when the task ends; write gs://…, or a path below the mount" in problem(lost)
    assert "/gcs/<bucket>/…" in problem(lost, target="vertex", root="gs://b/r")
    on_volume = "kubeflow.volumes=[{claim: models, mount: /serving}]"
    assert problems(lost, on_volume) == []
    assert problems("kubeflow.push_directory=/serving2", on_volume)
    assert problems("kubeflow.push_directory=/gcs/bucket/x", target="vertex", root="gs://b/r") == []


@pytest.mark.parametrize(("key", "verb"), [("data_path", "read"), ("push_directory", "write to")])
def test_object_stores_that_tensorflow_does_not_know_are_refused(key: str, verb: str) -> None:
    assert f"TensorFlow cannot {verb} minio://" in problem(f"kubeflow.{key}=minio://bucket/x")
    assert "or a path on one of kubeflow.volumes" in problem(f"kubeflow.{key}=s3://bucket/x")


def test_what_needs_an_environment_that_no_image_has_is_refused() -> None:
    refused = problem("target=web", "push.tfjs={quantization: uint8}")
    assert "push.tfjs: needs an environment that the image does not have" in refused


def test_nodes_are_named_by_id_technique_and_pattern() -> None:
    assert problems("kubeflow.nodes={Trainer: {cpu: 1}, prune: {cpu: 1}, '*-evaluate': {cpu: 1}}") == []
    assert "there is no node or step 'Trainr'; did you mean 'Trainer'?" in problem(
        "kubeflow.nodes={Trainr: {cpu: 1}}"
    )
    assert "'*-evaluated' matches no node" in problem("kubeflow.nodes={'*-evaluated': {cpu: 1}}")
    # Every node of the step, and not those that only come after one.
    assert matches("prune", "distill-prune-1a2b3c", "prune")
    assert not matches("prune", "prune-1a2b3c-qat", "qat")
    assert matches("prune*", "prune-1a2b3c-qat", "qat")
    assert not matches("*qat", "qat-evaluate", None)


def test_later_entries_win_and_environments_add_up() -> None:
    options = load(
        MNIST,
        [
            "kubeflow.defaults={cpu: 1, env: {A: a}, retries: 3}",
            "kubeflow.nodes={'*': {cpu: 2, env: {B: b}}, qat: {cpu: 4, retries: 0}}",
        ],
    ).config.kubeflow
    assert options.of_node("Pusher", None) == NodeOptions(cpu="2", env={"A": "a", "B": "b"}, retries=3)
    assert options.of_node("prune-qat", "qat").cpu == "4"
    assert options.of_node("prune-qat", "qat").retries == 0


@pytest.mark.parametrize(("text", "expected"), [("4", 4), ("0.5", 0.5), ("500m", 0.5), ("1500m", 1.5)])
def test_cores(text: str, expected: float) -> None:
    assert cores(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("16G", 16), ("1Gi", 1.073741824), ("512M", 0.512), ("2000000k", 2), ("1e", None)],
)
def test_gigabytes(text: str, expected: float | None) -> None:
    if expected is None:
        with pytest.raises(ConfigError, match="'1e' is not an amount of memory; write"):
            load(MNIST, [f"kubeflow.defaults.memory={text}"])
    else:
        assert gigabytes(text) == expected
        assert load(MNIST, [f"kubeflow.defaults.memory={text}"]).config.kubeflow.defaults.memory == text


def test_what_a_target_cannot_carry_is_refused() -> None:
    vertex = {"target": "vertex", "root": "gs://b/r"}
    selector = "kubeflow.nodes={Trainer: {node_selector: {pool: gpu}}}"
    assert problems(selector) == []
    assert "Vertex AI has no node selector" in problem(selector, **vertex)
    assert "Vertex AI does not mount PersistentVolumeClaims" in problem(
        "kubeflow.volumes=[{claim: a, mount: /a}]", **vertex
    )
    nvidia = "kubeflow.defaults.accelerator={type: nvidia.com/gpu}"
    tesla = "kubeflow.defaults.accelerator={type: NVIDIA_TESLA_T4}"
    assert problems(nvidia) == problems(tesla, **vertex) == []
    assert "write e.g. NVIDIA_TESLA_T4" in problem(nvidia, **vertex)
    assert "write e.g. nvidia.com/gpu" in problem(tesla)


def test_names_that_kubernetes_does_not_take_are_made_ones_that_it_does() -> None:
    assert names.task_name("ImportExampleGen") == "import-example-gen"
    chain = (
        "[{distill: {}}, {prune: {sparsity: 0.5}}, {cluster: {clusters: 8}}, {qat: {epochs: 2}}, "
        "{convert: {quantization: int8, io: int8}}]"
    )
    file = load(MNIST, [f"candidates.long={chain}"])
    plan = make_plan(file.config, file.path)
    named = names.task_names(plan)
    long = [node.id for node in plan.nodes if len(node.id) > 47]
    assert long
    assert all(len(name) <= 47 for name in named.values())
    assert len(set(named.values())) == len(plan.nodes)


def test_nothing_imports_tfx_before_the_config_is_right(tmp_path: Path) -> None:
    output = str(tmp_path / "a.yaml")
    code = (
        "import sys\n"
        "from pipeline.cli import main\n"
        "try:\n"
        f"    main(['compile', {MNIST!r}, '--image', 'x', '--pipeline-root', '/x', '-o', {output!r}])\n"
        "except SystemExit as error:\n"
        "    print(error.code, sorted({'tensorflow', 'tfx', 'kfp', 'apache_beam'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "2 []\n"
    assert list(tmp_path.iterdir()) == []


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["compile", MNIST, *arguments])


COMMON = ("--image", IMAGE, "--pipeline-root", "gs://bucket/root")


def test_the_command_writes_the_file_and_says_what_is_in_it(tmp_path: Path) -> None:
    output = tmp_path / "digits.yaml"
    arguments = (*COMMON, "--only", "int8", "-o", str(output), "--set", "run.metadata=sqlite:///x/m.sqlite")
    # Options of nodes that --only leaves out are not mistakes.
    result = invoke(*arguments, "--set", "kubeflow.nodes={qat: {cpu: 4}}")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0] == f"mnist compiled to {output}: 13 tasks, up to 2 at a time"
    assert "  data_path: /paredown/data/mnist" in lines
    assert "  seed: 42" in lines
    assert lines[-1].startswith("run.metadata (sqlite:///x/m.sqlite) is only for runs on this machine")
    assert list(tmp_path.iterdir()) == [output]
    assert output.stat().st_mode & 0o777 == 0o644
    printed = invoke(*COMMON, "--only", "int8", "-o", "-")
    assert printed.stdout == output.read_text(encoding="utf-8")

    reported = json.loads(invoke(*arguments, "--json").stdout)
    assert reported["file"] == str(output)
    assert (reported["target"], reported["schema"], len(reported["tasks"]), reported["width"]) == (
        "kubeflow",
        "2.1.0",
        13,
        2,
    )
    assert reported["parameters"]["push_directory"] == "gs://your-bucket/serving/mnist"


def test_problems_are_reported_with_their_place(tmp_path: Path) -> None:
    result = invoke("--image", IMAGE, "--pipeline-root", "/root", "-o", str(tmp_path / "x.json"), "--json")
    assert result.exit_code == 2
    found = {row["file"]: row["message"] for row in json.loads(result.stdout)["problems"]}
    assert set(found) == {"--pipeline-root", f"-o {tmp_path}/x.json"}
    assert f"write {tmp_path}/x.yaml" in found[f"-o {tmp_path}/x.json"]
    missing = invoke(*COMMON, "--only", "int8", "-o", str(tmp_path / "none" / "x.yaml"))
    assert (missing.exit_code, "cannot be written: No such file" in missing.stderr) == (2, True)


def test_a_runner_that_beam_does_not_have_is_refused(tmp_path: Path) -> None:
    result = invoke(*COMMON, "--only", "int8", "--set", 'run.beam_args=["--runner=Flnk"]')
    assert result.exit_code == 2
    assert (
        "run.beam_args: Apache Beam refuses them: ValueError: Unexpected pipeline runner: Flnk"
        in result.stderr
    )


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "pipeline.yaml"
    path.write_text("before", encoding="utf-8")
    with pytest.raises(UnicodeEncodeError):
        write("half \ud800", path)
    assert path.read_text(encoding="utf-8") == "before"
    assert list(tmp_path.iterdir()) == [path]
    write("after", path)
    assert path.read_text(encoding="utf-8") == "after"


def test_a_module_outside_of_the_image_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tmp_path / "pipeline.yaml"
    text = Path(MNIST).read_text(encoding="utf-8").replace("configs.mnist.model", "elsewhere")
    text = text.replace("../../", f"{Path.cwd()}/")
    config.write_text(text, encoding="utf-8")
    (tmp_path / "elsewhere.py").write_text("def build_model(hparams): ...", encoding="utf-8")
    file = load(config)
    found = kubeflow_checks.check(file, make_plan(file.config, file.path), "kubeflow", IMAGE, "gs://b/r")
    assert [p.key() for p in found] == ["model.module"]
    assert "outside of" in found[0].message
    monkeypatch.chdir(tmp_path)
    assert module_folder.image_module_root(file.config, file.path) is None


def test_packages_called_as_the_programs_own_are_refused(tmp_path: Path) -> None:
    (tmp_path / "components").mkdir()  # without an __init__.py Python prefers the installed package
    assert list(module_folder.hiding(tmp_path)) == []
    (tmp_path / "components" / "__init__.py").touch()
    (tmp_path / "pipeline.py").touch()
    assert list(module_folder.hiding(tmp_path)) == [tmp_path / "components", tmp_path / "pipeline.py"]
    assert list(module_folder.hiding(Path.cwd())) == []
