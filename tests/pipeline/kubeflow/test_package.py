"""A compiled file as `paredown submit` reads it: its version, its parameters, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from pipeline.kubeflow import package as kubeflow_package
from tests.pipeline.kubeflow.api_server import ApiServer
from tests.pipeline.kubeflow.conftest import Submit, refusal

pytestmark = pytest.mark.usefixtures("fast")


def test_layout_and_the_data_do_not_make_a_version(pipeline_text: str) -> None:
    version = kubeflow_package.read(pipeline_text).version()
    assert version.startswith("mnist-") and len(version) == len("mnist-") + 12
    assert kubeflow_package.read("# a comment\n" + pipeline_text).version() == version
    other_data = pipeline_text.replace("as-compiled", "other")
    assert other_data != pipeline_text
    assert kubeflow_package.read(other_data).version() == version
    assert kubeflow_package.read(pipeline_text.replace("42", "43")).version() != version


def test_types_of_parameters(pipeline_text: str) -> None:
    documents = yaml.safe_load(pipeline_text)
    documents["root"]["inputDefinitions"]["parameters"].update(
        rate={"parameterType": "NUMBER_DOUBLE", "isOptional": True},
        fast={"parameterType": "BOOLEAN", "isOptional": True},
        sizes={"parameterType": "LIST", "isOptional": True},
        must={"parameterType": "STRING"},
    )
    spec = kubeflow_package.read(yaml.safe_dump(documents)).spec
    given = ["rate=1e-3", "fast=True", "sizes=[1, 2]", "must=a=b", "seed=-1"]
    assert kubeflow_package.arguments(spec, given) == {
        "rate": 0.001,
        "fast": True,
        "sizes": [1, 2],
        "must": "a=b",
        "seed": -1,
    }
    for wrong in ("rate=x", "rate=NaN", "rate=1e999", "fast=1", "sizes={}", "sizes=[", "seed=1.5"):
        with pytest.raises(kubeflow_package.PackageError, match="is not"):
            kubeflow_package.arguments(spec, ["must=x", wrong])
    with pytest.raises(kubeflow_package.PackageError, match="must has no default; give --param must="):
        kubeflow_package.arguments(spec, [])
    with pytest.raises(kubeflow_package.PackageError, match="seed is given twice"):
        kubeflow_package.arguments(spec, ["must=x", "seed=1", "seed=2"])


def test_tasks_come_after_what_they_wait_for(pipeline_text: str) -> None:
    assert kubeflow_package.read(pipeline_text).spec.order() == ["import-example-gen", "trainer", "pusher"]


@pytest.mark.parametrize(
    ("param", "said"),
    [
        (
            "sede=7",
            "the pipeline has no parameter 'sede'; did you mean 'seed'?",
        ),
        ("seed=seven", "--param seed=seven: 'seven' is not an integer, as seed must be"),
        ("seed", "--param seed: write name=value"),
    ],
)
def test_parameters_are_checked(submit: Submit, server: ApiServer, param: str, said: str) -> None:
    assert said in refusal(submit("--param", param))
    assert not server.state.requests


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"pipelineSpec": {}}', "is compiled for Vertex AI; compile it with --target kubeflow"),
        ("pipelineInfo: {name: x}", "is not a complete pipeline specification"),
        ("components: {}\ndeploymentSpec: [", "is neither YAML nor JSON: while parsing"),
    ],
)
def test_a_file_that_cannot_be_submitted(submit: Submit, compiled_file: Path, text: str, said: str) -> None:
    compiled_file.write_text(text)
    assert f"{compiled_file}: {said}" in refusal(submit())


@pytest.mark.parametrize("part", range(2, 16))
def test_half_a_file_is_refused(
    submit: Submit, server: ApiServer, compiled_file: Path, pipeline_text: str, part: int
) -> None:
    lines = pipeline_text.splitlines(keepends=True)
    compiled_file.write_text("".join(lines[3 : len(lines) * part // 16]))  # without the comments above it
    line = refusal(submit())
    assert "is not a complete pipeline specification" in line or "is neither YAML nor JSON" in line
    assert not server.state.requests
