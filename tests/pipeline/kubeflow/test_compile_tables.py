"""Tables, hashed splits and spans as tasks of a cluster."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.config.config_file import load
from pipeline.kubeflow import fingerprint
from pipeline.kubeflow import package as kubeflow_package
from pipeline.kubeflow import parameters as kubeflow_parameters
from pipeline.kubeflow import runner as kubeflow_runner
from pipeline.plan.planner import make_plan

MNIST = Path("configs/mnist/pipeline.yaml")


def compiled(data: Path, file_format: str) -> Any:
    for span in (3, 4):
        (data / f"day-{span}").mkdir()
        (data / f"day-{span}/rows").write_text(f"a,label\n{span},1\n", encoding="utf-8")
    file = load(
        MNIST,
        [
            f"data={{format: {file_format}, path: {data}, label: label, splits: {{pattern: 'day-{{SPAN}}/*', "
            "eval_fraction: 0.25, hash_by: a}}",
            "kubeflow={data_path: gs://bucket/data, push_directory: gs://bucket/push}",
        ],
    )
    plan = make_plan(file.config, file.path)
    hashed = fingerprint.of_config(file.config)
    parameters = kubeflow_parameters.run_parameters(plan, file.config, hashed)
    root = "gs://bucket/root"
    return kubeflow_runner.compile_plan(plan, file.config, "kubeflow", "image:1", root, parameters), hashed


@pytest.mark.parametrize(
    ("file_format", "task"), [("csv", "csv-example-gen"), ("parquet", "parquet-example-gen")]
)
def test_the_task_is_given_the_span_that_was_chosen(tmp_path: Path, file_format: str, task: str) -> None:
    pipeline, hashed = compiled(tmp_path, file_format)
    given = pipeline.spec["root"]["dag"]["tasks"][task]["inputs"]["parameters"]
    constants = {
        name: json.loads(value["runtimeValue"]["constant"])
        for name, value in given.items()
        if name in ("input_config", "output_config")
    }
    assert constants["input_config"] == {"splits": [{"name": "all", "pattern": "day-4/*"}]}
    assert constants["output_config"] == {
        "split_config": {
            "partition_feature_name": "a",
            "splits": [{"hash_buckets": 3, "name": "train"}, {"hash_buckets": 1, "name": "eval"}],
        }
    }
    assert "range_config" not in given
    assert given["input_base"]["componentInputParameter"] == "data_path"
    assert given["data_fingerprint"]["componentInputParameter"] == "data_fingerprint"
    # A later `submit` computes the fingerprint of the same files.
    spec = kubeflow_package.read(pipeline.text()).spec
    found = fingerprint.of_run(spec, {}, str(tmp_path))
    assert found.value == hashed
    (tmp_path / "day-4/rows").write_text("a,label\n5,1\n", encoding="utf-8")
    assert fingerprint.of_run(spec, {}, str(tmp_path)) != found
