"""What is wrong with the import of a model is said without TensorFlow, by the key, the file and the fix."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.plan.node import MODEL_IMPORTER
from pipeline.plan.plan import Plan
from tests.pipeline.checks.import_checks.model_files import keras_file
from tests.pipeline.checks.import_checks.sections import problems, written
from tests.project import Project


def plan_of(project: Project, model: str) -> Plan:
    written(project, model)
    return project.plan()


@pytest.mark.parametrize(
    "model",
    [
        "import: model.keras",
        "import: {path: model.keras, inputs: {input_1: image}, safe_mode: true}",
        "import: {path: lambda.keras, safe_mode: false}",
        "import: layered",
        "{module: whole, hparams: {units: 3}, import: {weights: w.weights.h5}}",
        "{module: whole, import: bare.keras}",
        "import: bare.keras",  # learns from itself
        "{module: student, import: model.keras}",
    ],
)
def test_what_can_be_imported_is_accepted(project: Project, model: str) -> None:
    assert problems(project, model) == []


def test_learning_from_labels_needs_a_loss(project: Project) -> None:
    step = "prune: {sparsity: 0.5, teacher: labels}"
    (problem,) = problems(project, "import: bare.keras", step)
    assert problem.startswith(
        "candidates.pruned.0.prune: bare.keras was saved without loss and optimizer, which learning from labels needs"
    )
    assert problems(project, "import: model.keras", step) == []


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("import: nothing.keras", "model.import.path: nothing.keras does not exist; . holds bare.keras, "),
        ("import: data", "model.import.path: data is a folder without saved_model.pb; write a Keras file "),
        (
            "import: keras3.keras",
            "model.import.path: keras3.keras is of Keras 3, and its 'relu_1' (keras.src.ops.nn.Relu) has no",
        ),
        (
            "import: deployed.tflite",
            "model.import.path: deployed.tflite is a TFLite file, which is already converted ",
        ),
        (
            "import: lambda.keras",
            "model.import.path: lambda.keras holds a Lambda layer: Python code, which loading it runs",
        ),
        (
            "import: gs://b/model.keras",
            "model.import.path: gs://b/model.keras is not on this machine, and a run",
        ),
        (
            "import: w.weights.h5",
            "model.import.path: w.weights.h5 holds weights without a model; write import",
        ),
        (
            "{module: whole, import: {weights: layered}}",
            "model.import.weights: layered is a SavedModel, which is a whole model; write import: {path: …}",
        ),
        (
            "import: {path: model.keras, signature: serve}",
            "model.import.signature: model.keras is a Keras file, which has no signatures; remove it",
        ),
        (
            "import: {path: model.keras, sha256: " + "a" * 64 + "}",
            "model.import.sha256: is not that of model.keras, which is ",
        ),
        (
            "import: {path: model.keras, sha256: abc}",
            "model.import.sha256: 'abc' is not a SHA-256; write 64 ",
        ),
        (
            "import: {inputs: {a: b}}",
            "model.import: path (a whole model) and weights (for build_model's) are ",
        ),
        (
            "import: {path: model.keras, inputs: {a: image, b: image}}",
            "model.import.inputs: gives the feature 'image' to two inputs; write a feature for each",
        ),
        (
            "import: {path: model.keras, input: {}}",
            "model.import.input: unknown key; did you mean 'inputs'?",
        ),
        ("imports: model.keras", "model.imports: unknown key; did you mean 'import'?"),
        ("hparams: {}", "model: is missing: a Python module with build_model(hparams) -> compiled "),
        (
            "import: {weights: w.weights.h5}",
            "model.import: weights need a model; write module: with a module whose",
        ),
        (
            "{import: model.keras, hparams: {a: 1}}",
            "model.hparams: hparams are for a module's build_model, ",
        ),
        (
            "{import: model.keras, train: {epochs: 2}}",
            "model.train: the imported model is not trained; remove",
        ),
        (
            "{module: student, import: {weights: w.weights.h5}}",
            "model.module: student.py has no function 'build_model' at its top level; did you mean",
        ),
        (
            "import: plain",
            "candidates.pruned.0.prune: the imported SavedModel has no layers that `prune` could change, only",
        ),
        (
            "import: {path: layered, signature: serving_default}",
            "candidates.pruned.0.prune: the imported SavedModel has no layers that `prune` could change, only",
        ),
    ],
)
def test_each_mistake_gives_one_message(project: Project, model: str, expected: str) -> None:
    found = problems(project, model)

    assert len(found) == 1, found
    assert found[0].startswith(expected)


def test_a_student_needs_a_module(project: Project) -> None:
    (reported,) = problems(project, "import: model.keras", "distill: {}")

    assert reported == (
        "candidates.pruned.0.distill: needs a module that defines build_student; write module: beside import:"
    )
    assert problems(project, "{module: student, import: model.keras}", "distill: {}") == []
    (reported,) = problems(project, "{module: whole, import: model.keras}", "distill: {}")
    assert "has no function 'build_student'" in reported


def test_the_plan_imports_in_place_of_training(project: Project) -> None:
    planned = plan_of(project, "import: {path: model.keras, inputs: {input_1: image}}")

    assert [node.id for node in planned.nodes if node.id in ("Trainer", MODEL_IMPORTER)] == [MODEL_IMPORTER]
    assert planned.node("convert-float32").inputs["base_model"].node == MODEL_IMPORTER
    source = json.loads(str(planned.node(MODEL_IMPORTER).parameters["model_source"]))
    assert source == {
        "import": {
            "path": str(project.root / "model.keras"),
            "kind": "path",
            "format": "keras",
            "sha256": hashlib.sha256((project.root / "model.keras").read_bytes()).hexdigest(),
            "signature": None,
            "inputs": {"input_1": "image"},
            "safe_mode": True,
        }
    }
    readers = [node for node in planned.nodes if "model_source" in node.parameters]
    assert {node.parameters["model_source"] for node in readers} == {json.dumps(source, sort_keys=True)}
    assert len(readers) == 5


def test_another_content_under_the_same_path_is_another_plan(project: Project) -> None:
    before = plan_of(project, "import: model.keras").node(MODEL_IMPORTER)
    keras_file(project.root / "model.keras", "2.15.0")
    after = plan_of(project, "import: model.keras").node(MODEL_IMPORTER)

    changed = {key for key in before.parameters if before.parameters[key] != after.parameters[key]}
    assert changed == {"model_source"}


@pytest.mark.parametrize("options", ["", ", safe_mode: false"])
@pytest.mark.parametrize(
    ("class_name", "fields", "why"),
    [
        ("LSTM", {"stateful": True}, "keeps values from one prediction to the next (stateful: true)"),
        ("TFOpLambda", {"function": "random.normal"}, "draws random numbers when it predicts (tf.random.normal)"),
        ("TFOpLambda", {"function": "nn.dropout"}, "draws random numbers when it predicts (tf.nn.dropout)"),
    ],
)  # fmt: skip
def test_a_model_that_does_not_predict_the_same_again_is_refused_by_its_layer(
    project: Project, tmp_path: Path, class_name: str, fields: dict[str, Any], why: str, options: str
) -> None:
    inner = {"class_name": class_name, "config": {"name": "deep", **fields}}
    model = {"layers": [{"class_name": "TimeDistributed", "config": {"name": "outer", "layer": inner}}]}
    keras_file(tmp_path / "odd.keras", config=json.dumps(model))

    (problem,) = problems(project, f"import: {{path: odd.keras{options}}}")
    assert problem.startswith(f"model.import.path: odd.keras cannot be judged: layer 'deep' {why}")
