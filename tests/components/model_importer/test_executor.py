"""An imported model becomes a baseline: the same predictions, by the names of features, in the Trainer's layout."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from tfx.types import standard_artifacts

from components.common.base.file_hashes import model_digests
from components.common.data.examples import Examples
from components.common.models import model_files
from components.common.models.imported_model import KEY
from components.common.models.model_definition import ModelDefinition
from components.common.models.user_module import UserModuleError
from components.common.steps.step_executor import StepJob
from components.fine_tuner.executor import fine_tune
from components.fine_tuner.params import FineTuneOptions
from components.model_importer.executor import Executor, import_model
from components.model_importer.params import ImportOptions
from components.tflite_converter.executor import convert_model
from components.tflite_converter.params import ConvertOptions
from pipeline.plan.import_source import import_source
from tests.components.conftest import MakeModule
from tests.components.saved_files import SavedFiles
from tests.conftest import to_example, write_examples

SCHEMA = "".join(
    f'feature {{ name: "{name}" type: {kind} presence {{ min_fraction: 1.0 min_count: 1 }} '
    f"shape {{ dim {{ size: {size} }} }} }}\n"
    for name, kind, size in (("measures", "FLOAT", 4), ("id", "INT", 1), ("label", "INT", 1))
)
# The model of the saved files, with a rate and a loss that no file has.
BUILDER = """
    from tests.components.saved_files import Doubled, build

    def build_model(hparams):
        model = build(**{"compiled": False, **hparams})
        model.compile("sgd", "mse")
        return model
"""


@pytest.fixture(scope="module")
def examples(saved_files: SavedFiles, tmp_path_factory: pytest.TempPathFactory) -> Examples:
    records = [
        to_example({"measures": row, "id": number, "label": number % 3})
        for number, row in enumerate(saved_files.inputs)
    ]
    folder = write_examples(tmp_path_factory.mktemp("measured"), SCHEMA, train=records, eval=records)
    return Examples(str(folder / "examples"), str(folder / "schema"), None, "label")


def definition(module: str = "", hparams: Any = None, **options: Any) -> ModelDefinition:
    return ModelDefinition(module, hparams or {}, import_source(ImportOptions(**options)))


def served(uri: Path, inputs: np.ndarray) -> dict[str, np.ndarray]:
    signature = tf.saved_model.load(str(uri / "Format-Serving")).signatures["serving_default"]
    return {name: value.numpy() for name, value in signature(measures=tf.constant(inputs)).items()}


@pytest.mark.parametrize(
    ("options", "output", "layers"),
    [
        ({"path": "model.keras", "inputs": {"input_1": "measures"}}, "probabilities", True),
        ({"path": "model", "inputs": {"input_1": "measures"}}, "probabilities", True),
        ({"path": "plain", "inputs": {"x": "measures"}}, "scores", False),
        ({"weights": "checkpoint/w", "inputs": {"input_1": "measures"}}, "probabilities", True),
    ],
)
def test_the_artifact_predicts_as_the_file(
    saved_files: SavedFiles,
    examples: Examples,
    make_module: MakeModule,
    tmp_path: Path,
    options: dict[str, Any],
    output: str,
    layers: bool,
) -> None:
    key = "path" if "path" in options else "weights"
    options = {**options, key: saved_files.path(options[key])}
    module = make_module(BUILDER) if key == "weights" else ""
    facts = import_model(definition(module, **options), examples, str(tmp_path))

    found = served(tmp_path, saved_files.inputs)
    assert sorted(found) == [output]
    np.testing.assert_allclose(found[output], saved_files.outputs, atol=1e-6)
    assert (tmp_path / "Format-Keras/model.h5").exists() is layers
    if layers:
        model = model_files.load(str(tmp_path))
        assert model.input_names == ["measures"]
        np.testing.assert_allclose(model(saved_files.inputs), saved_files.outputs, atol=1e-6)
    assert facts["parameters"] == 4 * 8 + 8 + 8 * 3 + 3
    assert facts["source_path"] == options[key]
    assert len(facts["source_sha256"]) == 64


def test_the_executor_writes_what_lineage_asks_for(
    saved_files: SavedFiles, examples: Examples, tmp_path: Path
) -> None:
    def artifact(kind: Any, uri: str) -> Any:
        made = kind()
        made.uri = uri
        return made

    model = artifact(standard_artifacts.Model, str(tmp_path))
    given = definition(path=saved_files.path("model.h5"), inputs={"input_1": "measures"})
    Executor().Do(
        {
            "examples": [artifact(standard_artifacts.Examples, examples.uri)],
            "schema": [artifact(standard_artifacts.Schema, examples.schema_uri)],
        },
        {"model": [model]},
        {
            "model_module": "",
            "hparams": "{}",
            "model_source": json.dumps(given.source, sort_keys=True),
            "label": "label",
            "label_options": '{"classes": null, "class_weights": null}',
        },
    )

    assert json.loads(model.get_string_custom_property("files")) == model_digests(tmp_path)
    assert model.get_string_custom_property("format") == "h5"
    assert model.get_string_custom_property("source_path") == saved_files.path("model.h5")
    assert model.get_string_custom_property("source_sha256") == given.source[KEY]["sha256"]
    assert model.get_int_custom_property("parameters") == 67


def job(model: Path, output: Path, examples: Examples, given: ModelDefinition, options: Any) -> StepJob:
    output.mkdir()
    return StepJob(str(model), str(output), options, examples, given, 5)


def test_a_plain_saved_model_converts_and_the_file_predicts_the_same(
    saved_files: SavedFiles, examples: Examples, tmp_path: Path
) -> None:
    from ai_edge_litert.interpreter import Interpreter

    given = definition(path=saved_files.path("plain"), inputs={"x": "measures"})
    import_model(given, examples, str(tmp_path / "model"))
    for mode, tolerance in (("float32", 1e-5), ("int8", 0.03)):
        options = ConvertOptions(quantization=mode)
        convert_model(job(tmp_path / "model", tmp_path / mode, examples, given, options))
        runner = Interpreter(str(tmp_path / mode / "Format-Serving/tflite")).get_signature_runner()
        found = np.concatenate([runner(measures=row[None])["scores"] for row in saved_files.inputs])
        np.testing.assert_allclose(found, saved_files.outputs, atol=tolerance)


@pytest.mark.parametrize(("builds", "optimizer", "loss"), [(False, "Adam", None), (True, "SGD", "mse")])
def test_steps_that_train_go_by_the_file_or_by_the_module(
    saved_files: SavedFiles,
    examples: Examples,
    make_module: MakeModule,
    tmp_path: Path,
    builds: bool,
    optimizer: str,
    loss: str | None,
) -> None:
    module = make_module(BUILDER) if builds else ""
    given = definition(module, path=saved_files.path("model.keras"), inputs={"input_1": "measures"})
    import_model(given, examples, str(tmp_path / "model"))
    reference = given.build()
    assert type(reference.optimizer).__name__ == optimizer
    assert reference.loss == (loss or "sparse_categorical_crossentropy")
    np.testing.assert_allclose(reference(saved_files.inputs), saved_files.outputs, atol=1e-6)
    if builds:
        return
    options = FineTuneOptions(epochs=3, batch_size=3, learning_rate=0.05)
    facts = fine_tune(job(tmp_path / "model", tmp_path / "tuned", examples, given, options))

    curve = json.loads((tmp_path / "tuned/history.json").read_text(encoding="utf-8"))["epochs"]
    assert curve[-1]["loss"] < curve[0]["loss"]
    assert "final_val_accuracy" in facts


def refused(given: ModelDefinition, compiled: bool = True) -> str:
    with pytest.raises(UserModuleError) as raised:
        given.build(compiled=compiled)
    return str(raised.value)


def test_what_training_lacks_is_said(saved_files: SavedFiles, make_module: MakeModule) -> None:
    path = saved_files.path("uncompiled.keras")

    assert definition(path=path).build(compiled=False).built
    assert refused(definition(path=path)).startswith(f"{path} was saved without loss and optimizer, which")
    other = definition(make_module(BUILDER), {"end": False}, path=path)
    assert "has outputs of shapes [(3,)], and the model that build_model compiles [(8,)]" in refused(other)


def test_inputs_that_do_not_exist_or_collide_are_refused(saved_files: SavedFiles) -> None:
    path = saved_files.path("model.keras")

    assert refused(definition(path=path, inputs={"x": "measures"})) == (
        f"inputs: {path} has no input 'x'; it has ['input_1']"
    )
    assert refused(definition(path=path, inputs={"input_1": "hidden0"})).startswith(
        f"inputs: {path} has a layer 'hidden0' already"
    )


def test_a_file_that_changed_since_it_was_planned_is_refused(
    saved_files: SavedFiles, examples: Examples, tmp_path: Path
) -> None:
    copy = tmp_path / "model.h5"
    copy.write_bytes(Path(saved_files.path("model.h5")).read_bytes())
    given = definition(path=str(copy), inputs={"input_1": "measures"})
    copy.write_bytes(Path(saved_files.path("old.h5")).read_bytes())

    with pytest.raises(UserModuleError, match="is not the planned file: its SHA-256 is"):
        import_model(given, examples, str(tmp_path / "out"))


def test_a_model_that_gives_no_numbers_on_the_data_is_refused(
    saved_files: SavedFiles, examples: Examples, tmp_path: Path
) -> None:
    model = definition(path=saved_files.path("model.keras")).build(compiled=False)
    model.set_weights([np.full_like(weight, np.nan) for weight in model.get_weights()])
    model.save(tmp_path / "nan.keras")
    given = definition(path=str(tmp_path / "nan.keras"), inputs={"input_1": "measures"})

    with pytest.raises(UserModuleError, match="gives outputs 'probabilities' that are not numbers"):
        import_model(given, examples, str(tmp_path / "out"))
