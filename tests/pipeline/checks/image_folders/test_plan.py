"""What a plan says of image folders: fingerprint, cache key, label options, tasks of a cluster."""

from __future__ import annotations

import os
from typing import Any

import pytest

from pipeline.config.config_file import load
from pipeline.plan.data_nodes import data_fingerprint
from pipeline.plan.planner import make_plan
from tests.pipeline.checks.image_folders.pictures import Folder


def test_the_fingerprint_is_that_of_the_driver(folder: Folder) -> None:
    from tfx.utils import io_utils

    data = load(folder.root / "pipeline.yaml").config.data
    wanted = [
        io_utils.generate_fingerprint(split, os.path.abspath(f"data/{split}/*/*"))
        for split in ("train", "eval")
    ]
    assert data_fingerprint(data) == "\n".join(wanted)


def test_size_label_and_decoder_are_in_the_cache_key(folder: Folder) -> None:
    def parameters(*overrides: str) -> dict[str, Any]:
        file = load(folder.root / "pipeline.yaml", list(overrides))
        return dict(make_plan(file.config, file.path).node("ImageExampleGen").parameters)

    assert {"params", "code_version"} <= set(parameters())
    for change in ("data.image.size=[6, 9]", "data.image.channels=3", "data.label=kind"):
        assert parameters(change)["params"] != parameters()["params"]


def test_what_trains_and_what_judges_know_classes_and_weights(folder: Folder) -> None:
    file = load(folder.root / "pipeline.yaml", ["data.classes=[dog, cat]", "data.class_weights={dog: 2}"])
    plan = make_plan(file.config, file.path)
    wanted = '{"class_weights": {"dog": 2.0}, "classes": ["dog", "cat"]}'

    assert plan.node("convert-int8").parameters["label_options"] == wanted
    assert plan.node("convert-int8-measure").parameters["label_options"] == wanted
    assert wanted.replace('"', '\\"') in str(plan.node("Trainer").parameters["custom_config"])


@pytest.mark.parametrize("target", ["kubeflow", "vertex"])
def test_image_folders_compile_for_a_cluster(folder: Folder, target: Any) -> None:
    from pipeline.kubeflow import runner as kubeflow_runner
    from pipeline.kubeflow.fingerprint import of_config as fingerprint
    from pipeline.kubeflow.parameters import run_parameters

    overrides = ["kubeflow.data_path=gs://bucket/data", "kubeflow.push_directory=gs://bucket/out"]
    config = load(folder.root / "pipeline.yaml", overrides).config
    plan = make_plan(config, folder.root / "pipeline.yaml")
    compiled = kubeflow_runner.compile_plan(
        plan,
        config,
        target,
        "image:1",
        "gs://bucket/root",
        run_parameters(plan, config, fingerprint(config)),
    )
    deployment = compiled.spec["deploymentSpec"]["executors"]["image-example-gen_executor"]
    inputs = compiled.spec["root"]["dag"]["tasks"]["image-example-gen"]["inputs"]["parameters"]
    assert "components.image_example_gen.executor.Executor" in deployment["container"]["args"]
    assert '"channels": 1' in str(inputs["params"]) and inputs["input_base"] == {
        "componentInputParameter": "data_path"
    }
