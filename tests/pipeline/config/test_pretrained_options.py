"""`model.pretrained` and the stages of training: refusals without TensorFlow, and the parameters of nodes."""

from __future__ import annotations

import json
import os
import subprocess
import zipfile
from pathlib import Path

import h5py
import pytest

from pipeline.checks.config_checks import check
from pipeline.config.config_file import load
from pipeline.config.problem import ConfigError, Problem
from pipeline.kubeflow.checks import check as check_cluster
from pipeline.plan.planner import make_plan

CONFIG = """\
name: transfer
data: {path: data, splits: {train: "train*", eval: "test*"}, label: label}
model:
  module: model
  pretrained:
    PRETRAINED
  train:
    TRAIN
candidates:
  int8:
    - convert: {quantization: int8}
gate:
  accuracy: {metric: SparseCategoricalAccuracy, max_drop: 0.01}
push: {directory: serving}
kubeflow: {data_path: gs://bucket/data, push_directory: gs://bucket/serving}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with an HDF5 file that has the marks of a whole model."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.py").write_text("def build_model(hparams, pretrained): ...\n", encoding="utf-8")
    (tmp_path / "data").mkdir()
    for name in ("train", "test"):
        (tmp_path / "data" / name).write_bytes(b"x")
    with h5py.File(tmp_path / "trunk.h5", "w") as file:
        file.attrs["model_config"] = "{}"
        file.attrs["keras_version"] = "2.16.0"
    with h5py.File(tmp_path / "only.weights.h5", "w") as file:
        file.create_group("layers")
    return tmp_path


def written(folder: Path, pretrained: str = "path: trunk.h5", train: str = "epochs: 1") -> Path:
    path = folder / "pipeline.yaml"
    text = CONFIG.replace("PRETRAINED", pretrained).replace("TRAIN", train)
    path.write_text(text, encoding="utf-8")
    return path


def problems(path: Path) -> list[Problem]:
    try:
        return check(load(path))
    except ConfigError as error:
        return error.problems


def test_a_pretrained_file_that_is_there_is_accepted(folder: Path) -> None:
    assert problems(written(folder)) == []
    assert problems(written(folder, "{application: MobileNetV2, weights: random}")) == []
    assert problems(written(folder, "{application: MobileNetV2, weights: only.weights.h5}")) == []


WRONG = {
    "neither": ("freeze: [a]", "model.pretrained", "path and application are both missing"),
    "both": (
        "{path: trunk.h5, application: VGG16, weights: random}",
        "model.pretrained",
        "path and application both name the trunk",
    ),
    "weights of a path": (
        "{path: trunk.h5, weights: other.h5}",
        "model.pretrained",
        "weights belongs to an application, and trunk.h5 holds a whole model; remove it",
    ),
    "no weights": (
        "application: VGG16",
        "model.pretrained",
        "application VGG16 has no weights, and nothing is downloaded; write weights: path/to/weights.h5, or "
        "weights: random",
    ),
    "weights to download": (
        "{application: VGG16, weights: random, options: {weights: imagenet}}",
        "model.pretrained",
        "weights in options would be downloaded",
    ),
    "a key misspelt": ("{path: trunk.h5, cutat: x}", "model.pretrained.cutat", "did you mean 'cut_at'?"),
    "no file": ("path: trnk.h5", "model.pretrained.path", "no file trnk.h5; did you mean 'trunk.h5'?"),
    "no folder": ("path: no/trunk.h5", "model.pretrained.path", "there is no folder no either"),
    "no weights file": (
        "{application: VGG16, weights: imagenet}",
        "model.pretrained.weights",
        "imagenet does not exist",
    ),
    "weights without a model": (
        "path: only.weights.h5",
        "model.pretrained.path",
        "only.weights.h5 holds weights without a model",
    ),
    "no head": ("{path: trunk.h5, head: {}}", "model.pretrained.head.classes", "is missing"),
}


@pytest.mark.parametrize("case", WRONG)
def test_one_mistake_gives_one_message(case: str, folder: Path) -> None:
    pretrained, key, message = WRONG[case]

    found = problems(written(folder, pretrained))

    assert [problem.key() for problem in found] == [key], [str(problem) for problem in found]
    assert message in found[0].message


STAGES = {
    "no length": ("stages: [{learning_rate: 0.1}]", "of a stage, it has no length; write e.g. epochs: 2"),
    "two lengths": ("stages: [{epochs: 1, steps: 2}]", "epochs and steps both say how long it is"),
    "epochs beside": (
        "{epochs: 3, learning_rate: 0.1, stages: [{epochs: 1}]}",
        "epochs and learning_rate would apply to no stage",
    ),
}


@pytest.mark.parametrize("case", STAGES)
def test_a_stage_says_how_long_it_is(case: str, folder: Path) -> None:
    train, message = STAGES[case]

    found = problems(written(folder, train=train))

    assert len(found) == 1 and message in found[0].message
    assert found[0].key().startswith("model.train")


@pytest.mark.parametrize(
    "train",
    ["stages: [{epochs: 1, unfreeze: ['*']}]", "trunk_learning_rate: 0.1"],
)
def test_what_is_for_a_trunk_needs_one(train: str, folder: Path) -> None:
    path = written(folder, train=train)
    text = path.read_text(encoding="utf-8").replace("  pretrained:\n    path: trunk.h5\n", "")
    path.write_text(text, encoding="utf-8")

    found = problems(path)

    assert [problem.key() for problem in found] == ["model.train"]
    assert "is for the layers of a pretrained model; write pretrained" in found[0].message


def test_a_model_is_imported_or_pretrained(folder: Path) -> None:
    path = written(folder)
    text = path.read_text(encoding="utf-8").replace("  train:\n    epochs: 1\n", "  import: trunk.h5\n")
    path.write_text(text, encoding="utf-8")

    found = problems(path)

    assert [problem.key() for problem in found] == ["model.pretrained"]
    assert "write import or pretrained" in found[0].message


def test_a_head_needs_no_module(folder: Path) -> None:
    path = written(folder, "{path: trunk.h5, head: {classes: 5}}")
    path.write_text(path.read_text(encoding="utf-8").replace("  module: model\n", ""), encoding="utf-8")
    assert problems(path) == []
    assert "Trainer" in {node.id for node in make_plan(load(path).config, path).nodes}

    path = written(folder)
    path.write_text(path.read_text(encoding="utf-8").replace("  module: model\n", ""), encoding="utf-8")
    (problem,) = problems(path)
    assert problem.key() == "model" and "a Python module with build_model" in problem.message


def test_what_is_frozen_is_not_divided_among_devices(folder: Path) -> None:
    path = written(folder, train="{distribution: mirrored, batch_size: 128}")
    found = problems(path)
    assert [problem.key() for problem in found] == ["model.train.distribution"]
    assert "cannot train a pretrained model or in stages" in found[0].message

    text = written(folder).read_text(encoding="utf-8")
    step = "- fine_tune: {distribution: mirrored, freeze: [a]}\n    - convert"
    path.write_text(text.replace("- convert", step), encoding="utf-8")
    found = problems(path)
    assert [problem.key() for problem in found] == ["candidates.int8[0].fine_tune.freeze"]


def test_a_keras_3_file_with_a_layer_that_tf_keras_lacks_is_refused(folder: Path) -> None:
    with zipfile.ZipFile(folder / "three.keras", "w") as archive:
        layers = [{"module": "keras.layers", "class_name": "RMSNormalization", "config": {"name": "norm"}}]
        archive.writestr("config.json", json.dumps({"config": {"layers": layers}}))
        archive.writestr("metadata.json", json.dumps({"keras_version": "3.5.0"}))

    found = problems(written(folder, "path: three.keras"))

    assert [problem.key() for problem in found] == ["model.pretrained.path"]
    assert (
        "three.keras is of Keras 3, and its 'norm' (keras.layers.RMSNormalization) has no equivalent"
        in found[0].message
    )


def test_build_model_has_to_take_the_trunk_unless_there_is_a_head(folder: Path) -> None:
    (folder / "model.py").write_text("def build_model(hparams): ...\n", encoding="utf-8")
    found = problems(written(folder))
    assert [problem.message for problem in found] == [
        "build_model in model.py:1 cannot be called with hparams and pretrained; write `def "
        "build_model(hparams, pretrained)`"
    ]

    (folder / "model.py").write_text("", encoding="utf-8")
    assert "write `def build_model(hparams, pretrained)`" in problems(written(folder))[0].message
    assert problems(written(folder, "{path: trunk.h5, head: {classes: 5}}")) == []


def test_a_function_with_a_default_serves_with_and_without_a_trunk(folder: Path) -> None:
    (folder / "model.py").write_text("def build_model(hparams, pretrained=None): ...\n", encoding="utf-8")
    path = written(folder)
    assert problems(path) == []

    text = path.read_text(encoding="utf-8").replace("  pretrained:\n    path: trunk.h5\n", "")
    path.write_text(text, encoding="utf-8")
    assert problems(path) == []


def test_the_content_of_the_file_is_in_every_nodes_cache_key(folder: Path) -> None:
    path = written(folder)
    before = make_plan(load(path).config, path)
    with h5py.File(folder / "trunk.h5", "a") as file:
        file.attrs["model_config"] = '{"other": 1}'
    after = make_plan(load(path).config, path)

    differ = [
        one.id for one, other in zip(before.nodes, after.nodes, strict=True) if vars(one) != vars(other)
    ]
    models = [
        n.id for n in before.nodes if "model_source" in n.parameters or "custom_config" in n.parameters
    ]
    assert "Trainer" in differ and set(differ) == set(models) - {"Pusher"}
    custom = json.loads(str(after.node("Trainer").parameters["custom_config"]))
    source = json.loads(custom["model_source"])["pretrained"]
    digest = subprocess.run(["sha256sum", "trunk.h5"], capture_output=True, text=True, check=True).stdout
    assert source["sha256"] == digest.split()[0] and source["file"] == "trunk.h5"
    assert source["freeze"] == ["*"] and source["freeze_batch_norm"] is True


def test_a_cluster_needs_the_file_in_the_image_or_on_a_volume(folder: Path, tmp_path: Path) -> None:
    def compiled(pretrained: str, volumes: str = "") -> list[Problem]:
        path = written(folder, pretrained)
        if volumes:
            text = path.read_text(encoding="utf-8").replace("kubeflow: {", f"kubeflow: {{{volumes}, ")
            path.write_text(text, encoding="utf-8")
        file = load(path)
        plan = make_plan(file.config, path)
        return check_cluster(file, plan, "kubeflow", "example.com/paredown:1", "gs://bucket/root")

    absolute = folder / "trunk.h5"
    assert compiled("path: trunk.h5") == []
    assert compiled("{application: VGG16, weights: random}") == []
    found = compiled(f"path: {absolute}")
    assert [problem.key() for problem in found] == ["model.pretrained.path"]
    assert "is on this machine, where no task on a cluster can read it" in found[0].message
    volume = f"volumes: [{{claim: models, mount: {folder}}}]"
    assert compiled(f"path: {absolute}", volume) == []
    (folder / ".hidden").mkdir()
    os.rename(absolute, folder / ".hidden" / "trunk.h5")
    found = compiled("path: .hidden/trunk.h5")
    assert "the image holds no hidden files" in found[0].message
