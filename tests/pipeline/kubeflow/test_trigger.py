"""The launcher obeys conditions that TFX's own compiler has written."""

from __future__ import annotations

import json
import os
import textwrap
from pathlib import Path
from typing import Any

import pytest

from tests.pipeline.kubeflow.launcher import Launcher
from tests.pipeline.kubeflow.trigger import holds

# A task that says of each of its outputs what the environment has for it.
TASK = """
import json, os, sys
given = json.loads(sys.argv[1])
told = {
    key: {"artifacts": [{**entry["artifacts"][0], "metadata": {"span": float(os.environ["SPAN"])}}]}
    for key, entry in given["outputs"]["artifacts"].items()
}
with open(given["outputs"]["outputFile"], "w") as file:
    json.dump({"artifacts": told}, file)
"""


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Three nodes of TFX, the second only where the first one's span is 3, the third after the second."""
    from tfx import components
    from tfx.dsl.experimental.conditionals import conditional
    from tfx.dsl.placeholder import placeholder
    from tfx.orchestration import pipeline
    from tfx.orchestration.kubeflow.v2 import kubeflow_v2_dag_runner

    examples = components.ImportExampleGen(input_base="gs://bucket/data")
    span = examples.outputs["examples"].future()[0].property("span")
    with conditional.Cond(placeholder.logical_or(span == 3, span > 7)):
        statistics = components.StatisticsGen(examples=examples.outputs["examples"])
    schema = components.SchemaGen(statistics=statistics.outputs["statistics"])
    file = tmp_path_factory.mktemp("conditional") / "spec.yaml"
    runner = kubeflow_v2_dag_runner.KubeflowV2DagRunner(
        config=kubeflow_v2_dag_runner.KubeflowV2DagRunnerConfig(
            default_image="x", use_pipeline_spec_2_1=True
        ),
        output_filename=str(file),
    )
    runner.run(
        pipeline.Pipeline("conditional", "minio://bucket/root", components=[examples, statistics, schema])
    )
    return Launcher.of(
        file.read_text(encoding="utf-8"), folder=file.parent, directory=file.parent, environment={}
    ).spec


@pytest.mark.parametrize(("span", "met"), [(3, True), (9, True), (4, False)])
def test_a_task_whose_condition_is_not_met_is_skipped_and_so_is_what_depends_on_it(
    spec: dict[str, Any], tmp_path: Path, span: int, met: bool
) -> None:
    (tmp_path / "task.py").write_text(textwrap.dedent(TASK), encoding="utf-8")
    changed = json.loads(json.dumps(spec))
    for executor in changed["deploymentSpec"]["executors"].values():
        executor["container"] = {
            "command": ["python", str(tmp_path / "task.py")], "args": ["{{$}}"],
        }  # fmt: skip
    changed["defaultPipelineRoot"] = "minio://bucket/root"
    launcher = Launcher(
        spec=changed,
        folder=tmp_path / "run",
        directory=tmp_path,
        environment={**os.environ, "SPAN": str(span)},
    )
    launcher.run()
    everything = set(changed["root"]["dag"]["tasks"])
    ran = everything if met else {"ImportExampleGen"}
    assert set(launcher.results) == ran
    assert launcher.skipped == everything - ran


ARTIFACTS = {"model": [{"uri": "minio://b/m", "metadata": {"blessed": 1, "name": "a"}}]}
BLESSED = "inputs.artifacts['model'].artifacts[0].metadata['blessed']"
NAME = "inputs.artifacts['model'].artifacts[0].metadata['name']"


@pytest.mark.parametrize(
    ("condition", "met"),
    [
        (f"({BLESSED} == 1.0)", True),
        (f"({BLESSED} > 1.0)", False),
        (f"!(({BLESSED} < 1.0))", True),
        (f"(({BLESSED} == 1.0) && ({NAME} == 'b'))", False),
        (f"(({BLESSED} == 0.0) || ({NAME} == 'a'))", True),
        (f"({NAME} == ('' + 'a'))", True),
        ("(inputs.artifacts['model'].artifacts[0].uri == 'minio://b/m')", True),
    ],
)
def test_conditions_are_read_as_tfx_writes_them(condition: str, met: bool) -> None:
    assert holds(condition, ARTIFACTS) is met


@pytest.mark.parametrize("condition", ["(size(x) == 1)", "(1.0 != 2.0)", "1 +"])
def test_what_tfx_does_not_write_is_refused(condition: str) -> None:
    with pytest.raises(ValueError, match=r"cannot be read|is nothing that TFX writes"):
        holds(condition, ARTIFACTS)
