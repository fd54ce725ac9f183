"""What surrounds every step: TFX's dictionaries in, facts and files out."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tf_keras
from tfx.types import standard_artifacts

from components.common.data.examples import Examples
from components.common.models import model_files, stock_layers
from components.common.models.model_definition import ModelDefinition
from components.common.models.model_files import StepRecord
from components.common.steps.step_executor import StepExecutor, StepJob, set_properties
from components.pruner.params import PruneOptions
from components.quantization_aware_trainer.params import QatOptions
from components.trainer.params import TrainOptions
from tests.components.conftest import MakeModule, make_job, must_keep, run_step
from tests.conftest import LABEL_OPTIONS, MNIST_HPARAMS, MNIST_MODULE, Trained, to_example, write_examples


def artifact(kind: Any, uri: Path | str) -> Any:
    made = kind()
    made.uri = str(uri)
    return made


def test_do_hands_over_everything_and_keeps_the_facts(examples_artifact: Path, tmp_path: Path) -> None:
    seen: list[StepJob] = []
    draws: list[float] = []

    class Recorder(StepExecutor[PruneOptions]):
        OPTIONS = PruneOptions

        def run(self, job: StepJob[PruneOptions]) -> dict:
            seen.append(job)
            draws.append(float(np.random.random()))
            return {"technique": "x", "bytes": 12, "least_layer_sparsity": 0.5}

    output = artifact(standard_artifacts.Model, tmp_path / "out")
    inputs = {
        "base_model": [artifact(standard_artifacts.Model, tmp_path / "base")],
        "examples": [artifact(standard_artifacts.Examples, examples_artifact / "examples")],
        "schema": [artifact(standard_artifacts.Schema, examples_artifact / "schema")],
    }
    properties = {
        "params": PruneOptions(sparsity=0.8, steps=7).canonical_json(),
        "model_module": MNIST_MODULE, "label": "label", "seed": 3,
        "label_options": LABEL_OPTIONS,
        "hparams": json.dumps(MNIST_HPARAMS), "model_source": "{}", "code_version": "1",
    }  # fmt: skip
    for _ in range(2):
        Recorder().Do(inputs, {"model": [output]}, properties)

    assert seen[0] == StepJob(
        base_model=str(tmp_path / "base"),
        output=str(tmp_path / "out"),
        options=PruneOptions(sparsity=0.8, steps=7),
        examples=Examples(
            str(examples_artifact / "examples"), str(examples_artifact / "schema"), None, "label"
        ),
        definition=ModelDefinition(MNIST_MODULE, MNIST_HPARAMS, {}),
        seed=3,
    )
    assert draws[0] == draws[1]
    assert output.get_string_custom_property("technique") == "x"
    assert output.get_int_custom_property("bytes") == 12
    assert output.get_float_custom_property("least_layer_sparsity") == 0.5
    inputs["transform_graph"] = [artifact(standard_artifacts.TransformGraph, tmp_path / "graph")]
    Recorder().Do(inputs, {"model": [output]}, properties)
    assert seen[2].examples.transform_uri == str(tmp_path / "graph")


def test_a_record_grows_by_a_step_and_survives_writing(tmp_path: Path) -> None:
    pruning = PruneOptions(sparsity=0.8, include=["*"])
    first = StepRecord().after(pruning)
    first.ask("dense", *must_keep(sparsity=0.7))
    first.ask("dense", *must_keep(sparsity=0.8))
    first.ask("conv", *must_keep(m_by_n=(2, 4)))
    second = first.after(QatOptions(epochs=1), quantization_aware=True, float_layers=["head*"])
    second.ask("conv", *must_keep(clusters=16, per_channel=True))
    second.ask("new", *must_keep(clusters=3))
    second.write(str(tmp_path))

    # What comes later leaves an earlier record as it is.
    assert first.layers == {"dense": must_keep(sparsity=0.8), "conv": must_keep(m_by_n=(2, 4))}
    assert first.techniques() == ["prune"]
    assert first.float_layers == []
    read = StepRecord.read(str(tmp_path))
    assert read == second
    assert read.layers == {
        "dense": must_keep(sparsity=0.8),
        "conv": must_keep(m_by_n=(2, 4), clusters=16, per_channel=True),
        "new": must_keep(clusters=3),
    }
    assert read.float_layers == ["head*"] and read.quantization_aware
    assert read.wrappers == ["prune_low_magnitude_", "quant_"]
    assert second.techniques() == ["prune", "qat"]
    assert second.steps[0] == {"technique": "prune", **pruning.model_dump(mode="json")}


def test_a_model_without_record_has_had_no_step(tmp_path: Path) -> None:
    assert StepRecord.read(str(tmp_path)) == StepRecord()


def test_a_step_starts_from_a_new_model_each_time(
    trained: Trained, mnist_examples: Any, tmp_path: Path
) -> None:
    job = make_job(trained.uri, tmp_path, PruneOptions(sparsity=0.5), mnist_examples)
    one, other = job.reference_model(), job.reference_model()

    assert one is not other and one.layers[1] is not other.layers[1]
    assert job.load_base_model() is not job.load_base_model()


CUSTOM_LAYER = """
import tensorflow as tf
import tf_keras

@tf_keras.saving.register_keras_serializable(package="paredown_tests")
class Twice(tf_keras.layers.Layer):
    def call(self, inputs):
        return tf.reduce_sum(inputs) * 0 + 2 * inputs

def build_model(hparams):
    x = tf_keras.layers.Input((4,), name="x")
    outputs = tf_keras.layers.Dense(1, name="y")(Twice(name="doubled")(x))
    model = tf_keras.Model(x, outputs)
    model.compile(tf_keras.optimizers.SGD(0.01), "mse")
    return model
"""


def test_a_process_that_never_built_the_model_knows_its_custom_layers(
    make_module: MakeModule, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from components.pruner.executor import prune
    from components.pruner.params import PruneOptions
    from components.trainer.run_fn import train_baseline

    module = make_module(CUSTOM_LAYER)
    # AutoGraph would take 20 s here.
    monkeypatch.setattr(stock_layers, "_STOCK", (*stock_layers._STOCK, module))
    schema = """
    feature { name: "x" type: FLOAT presence { min_fraction: 1 } shape { dim { size: 4 } } }
    feature { name: "label" type: FLOAT presence { min_fraction: 1 } shape { dim { size: 1 } } }
    """
    rows = [to_example({"x": np.arange(4.0) + i, "label": float(i)}) for i in range(8)]
    folder = write_examples(tmp_path, schema, train=rows, eval=rows)
    examples = Examples(str(folder / "examples"), str(folder / "schema"), None, "label")
    base = tmp_path / "base"
    train_baseline(
        examples, str(base), str(base), ModelDefinition(module), TrainOptions(epochs=1, batch_size=4), 1
    )
    # As in a new process that has only the artifact.
    del sys.modules[module]
    del tf_keras.saving.get_custom_objects()["paredown_tests>Twice"]
    with pytest.raises(ValueError, match="Twice"):
        model_files.load(str(base))

    options = PruneOptions(sparsity=0.5, epochs=2, batch_size=4)
    job = make_job(base, tmp_path / "pruned", options, examples, definition=ModelDefinition(module))
    assert run_step(prune, job)["least_layer_sparsity"] == 0.5


CUSTOM_REGULARIZER = """
import tf_keras

class Halved(tf_keras.regularizers.Regularizer):
    def __call__(self, weights):
        return 0.0

    def get_config(self):
        return {}

def build_model(hparams):
    x = tf_keras.layers.Input((28, 28, 1), name="image")
    y = tf_keras.layers.Dense(10, kernel_regularizer=Halved(), name="y")(tf_keras.layers.Flatten()(x))
    model = tf_keras.Model(x, y)
    model.compile("sgd", tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model
"""


def test_what_the_module_defines_need_not_be_registered(
    make_module: MakeModule, mnist_examples: Examples, tmp_path: Path
) -> None:
    """TFMOT copies layers by their configs, in which a regularizer is named."""
    from components.common.models import user_module
    from components.pruner.executor import Executor

    module = make_module(CUSTOM_REGULARIZER)
    base, output = tmp_path / "base", artifact(standard_artifacts.Model, tmp_path / "out")
    model_files.save(user_module.build(module, "build_model", {}), str(base), ["image"], StepRecord())
    inputs = {
        "base_model": [artifact(standard_artifacts.Model, base)],
        "examples": [artifact(standard_artifacts.Examples, mnist_examples.uri)],
        "schema": [artifact(standard_artifacts.Schema, mnist_examples.schema_uri)],
    }
    options = PruneOptions(sparsity=0.5, steps=8, batch_size=50)
    properties = {
        "params": options.canonical_json(), "model_module": module, "label": "label", "seed": 3,
        "label_options": LABEL_OPTIONS,
        "hparams": "{}", "model_source": "{}", "code_version": "1",
    }  # fmt: skip

    Executor().Do(inputs, {"model": [output]}, properties)

    assert output.get_float_custom_property("least_layer_sparsity") >= 0.495
    folder = Path(output.uri)
    written = {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}
    models = {name for name in written if name.startswith("Format-")}
    assert models >= {"Format-Keras/model.h5", "Format-Serving/saved_model.pb"}
    # The record, the history and the logs are beside them.
    assert {"history.json", "optimization.json"} < set(written) - models
    assert json.loads(output.get_string_custom_property("files")) == {
        name: hashlib.sha256(written[name].read_bytes()).hexdigest() for name in models
    }
    history = json.loads(written["history.json"].read_text(encoding="utf-8"))
    assert [row["epoch"] for row in history["epochs"]] == [1]
    assert history["epochs"][0]["val_loss"] == pytest.approx(
        output.get_float_custom_property("final_val_loss")
    )


def test_facts_that_are_not_numbers_are_left_out(tmp_path: Path) -> None:
    """ML Metadata raises an InternalError on them: its SQL has the bare word `nan`."""
    from ml_metadata.metadata_store import metadata_store
    from ml_metadata.proto import metadata_store_pb2

    made = artifact(standard_artifacts.Model, tmp_path)
    set_properties(made, {"loss": float("nan"), "worst": float("inf"), "accuracy": 0.5, "bytes": 3})
    config = metadata_store_pb2.ConnectionConfig()
    config.fake_database.SetInParent()
    store = metadata_store.MetadataStore(config)
    made.type_id = store.put_artifact_type(metadata_store_pb2.ArtifactType(name="Model"))
    store.put_artifacts([made.mlmd_artifact])

    (kept,) = store.get_artifacts()
    assert {n: v.double_value or v.int_value for n, v in kept.custom_properties.items()} == {
        "accuracy": 0.5,
        "bytes": 3,
    }
