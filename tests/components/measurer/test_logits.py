"""Outputs that are logits are judged as their probabilities."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tf_keras

from components.common.data.arrays import Arrays
from components.common.data.examples import Examples
from components.common.models import model_files, output_kind
from components.common.models.model_definition import ModelDefinition
from components.common.models.model_files import StepRecord
from components.common.tflite.litert import LiteRTModel
from components.evaluator.params import Gate
from components.measurer.measured import SIDES
from components.pruner.params import PruneOptions
from components.tflite_converter.executor import convert, convert_model
from components.tflite_converter.params import ConvertOptions
from components.trainer.params import TrainOptions
from components.trainer.run_fn import train_baseline
from tests.components.conftest import MakeModule, make_job, run_step
from tests.components.evaluating import evaluate
from tests.conftest import to_example, write_examples

COUNT = 200
X = np.random.default_rng(5).normal(size=(COUNT, 4)).astype(np.float32)
KIND = np.argmax(X[:, :3], axis=1)
SIGN = (X[:, 3] + X[:, 0] > 0.3).astype(np.int64)
SCHEMA = """
feature { name: "x" type: FLOAT presence { min_fraction: 1 } shape { dim { size: 4 } } }
feature { name: "kind" type: INT presence { min_fraction: 1 } shape { dim { size: 1 } } }
feature { name: "sign" type: INT presence { min_fraction: 1 } shape { dim { size: 1 } } }
feature { name: "gap" type: FLOAT presence { min_fraction: 1 } shape { dim { size: 1 } } }
"""


def built(kind: str | None, sign: str | None, from_logits: bool = True) -> tf_keras.Model:
    """A model whose weights make useful, but not perfect, logits."""
    x = tf_keras.layers.Input((4,), name="x")
    outputs = [
        tf_keras.layers.Dense(3, kind, name="kind")(x),
        tf_keras.layers.Dense(1, sign, name="sign")(x),
        tf_keras.layers.Dense(1, name="gap")(x),
    ]
    model = tf_keras.Model(x, outputs)
    model.get_layer("kind").set_weights([np.eye(4, 3) * 1.5, np.array([0.4, 0, 0])])
    model.get_layer("sign").set_weights([np.array([[0.8], [0.3], [0], [1.0]]), np.array([0.2])])
    losses = tf_keras.losses
    model.compile(
        "sgd",
        {
            "kind": losses.SparseCategoricalCrossentropy(from_logits=from_logits),
            "sign": losses.BinaryCrossentropy(from_logits=from_logits),
            "gap": "mse",
        },
    )
    return model


def test_the_loss_and_the_last_layer_say_which_outputs_are_logits() -> None:
    logits = {"kind": "softmax", "sign": "sigmoid"}
    assert output_kind.logits(built(None, None)) == logits
    assert output_kind.logits(built("softmax", None)) == {"sign": "sigmoid"}
    assert output_kind.logits(built("softmax", "sigmoid", from_logits=False)) == {}
    assert output_kind.logits(built(None, None, from_logits=False)) == {}
    assert output_kind.logits(built(None, None, from_logits=False), built(None, None)) == logits


def test_logits_are_carried_by_the_record_of_each_step(tmp_path: Path) -> None:
    record = (
        StepRecord(logits={"kind": "softmax"})
        .after(PruneOptions(sparsity=0.5))
        .after(ConvertOptions(quantization="int8"))
    )
    record.write(str(tmp_path))
    assert StepRecord.read(str(tmp_path)).logits == {"kind": "softmax"}


def test_both_models_are_judged_by_the_probabilities_of_their_logits(tmp_path: Path) -> None:
    for name, quantization in (("baseline", "float32"), ("candidate", "int8")):
        model = built(None, None)
        record = StepRecord(logits=output_kind.logits(model))
        model_files.save(model, str(tmp_path / "keras"), ["x"], record)
        options = ConvertOptions.model_validate({"quantization": quantization})
        content = convert(
            model_files.serving_dir(str(tmp_path / "keras")),
            options,
            False,
            Arrays({"x": X}, np.zeros(COUNT)),
        )
        path = Path(model_files.tflite_file(str(tmp_path / name)))
        path.parent.mkdir(parents=True)
        path.write_bytes(content)
        record.after(options, file=options.types()).write(str(tmp_path / name))
    rows = [
        to_example({"x": X[i], "kind": int(KIND[i]), "sign": int(SIGN[i]), "gap": 0.0})
        for i in range(COUNT)
    ]
    data = write_examples(tmp_path / "data", SCHEMA, train=rows[:1], eval=rows)
    labels = {"kind": "kind", "sign": "sign", "gap": "gap"}
    gates = [
        {"output": "kind", "metric": "SparseCategoricalCrossentropy", "max": 5},
        {"output": "kind", "metric": "SparseCategoricalAccuracy", "min": 0.5},
        {"output": "sign", "metric": "BinaryCrossentropy", "max": 5},
        {"output": "sign", "metric": "BinaryAccuracy", "min": 0.5},
        {"output": "sign", "metric": "AUC", "config": {"num_thresholds": 10000}, "min": 0.6},
        {"output": "gap", "metric": "MeanAbsoluteError", "max": 100},
    ]
    (tmp_path / "out").mkdir()
    verdict = evaluate(
        str(tmp_path / "candidate"),
        str(tmp_path / "baseline"),
        Examples(str(data / "examples"), str(data / "schema"), None, labels),
        Gate.model_validate({"accuracy": gates, "latency": {"repetitions": 20, "warmup": 0}}),
        str(tmp_path / "out"),
        1,
        [],
    )
    assert verdict.blessed, verdict.reasons
    activations = {"kind": "softmax", "sign": "sigmoid"}
    assert verdict.measured.activations == {"candidate": activations, "baseline": activations}
    for side in ("candidate", "baseline"):
        model = LiteRTModel(model_files.tflite_file(str(tmp_path / side)))
        predicted = [model.predict({"x": row}) for row in X]
        kind, sign, gap = (np.stack([row[name] for row in predicted]).astype(np.float64) for name in labels)
        shares = np.exp(kind) / np.exp(kind).sum(axis=1, keepdims=True)
        positive = 1 / (1 + np.exp(-sign[:, 0]))
        right = np.where(SIGN == 1, positive, 1 - positive)
        pairs = positive[SIGN == 1][:, np.newaxis] - positive[SIGN == 0]
        expected = [
            -np.log(shares[np.arange(COUNT), KIND]).mean(),
            (shares.argmax(axis=1) == KIND).mean(),
            -np.log(right).mean(),
            ((positive > 0.5) == SIGN).mean(),
            (pairs > 0).mean() + (pairs == 0).mean() / 2,
            np.abs(gap).mean(),
        ]
        found = [getattr(metric, side) for metric in verdict.measured.accuracies]
        assert found == pytest.approx(expected, rel=1e-3)
        # What the logits themselves would give, taken for probabilities.
        assert ((sign[:, 0] > 0.5) == SIGN).mean() != pytest.approx(expected[3])


MODULE = """
import tf_keras

def build_model(hparams):
    x = tf_keras.layers.Input((4,), name="x")
    model = tf_keras.Model(x, tf_keras.layers.Dense(1, name="sign")(x))
    model.compile(tf_keras.optimizers.Adam(0.05), tf_keras.losses.BinaryCrossentropy(from_logits=True))
    return model
"""


def test_logits_from_the_trainer_to_the_verdict(tmp_path: Path, make_module: MakeModule) -> None:
    """Trained, converted and judged by the functions of the nodes; each hands on what its record says."""
    rows = [to_example({"x": X[i], "kind": 0, "sign": int(SIGN[i]), "gap": 0.0}) for i in range(COUNT)]
    data = write_examples(tmp_path / "data", SCHEMA, train=rows, eval=rows)
    examples = Examples(str(data / "examples"), str(data / "schema"), None, "sign")
    definition = ModelDefinition(make_module(MODULE), {})
    trained = tmp_path / "trained"
    train_baseline(
        examples, str(trained), str(tmp_path / "logs"), definition, TrainOptions(epochs=8, batch_size=20), 1
    )
    assert StepRecord.read(str(trained)).logits == {"sign": "sigmoid"}
    for name, quantization in (("baseline", "float32"), ("candidate", "float16")):
        options = ConvertOptions(quantization=quantization)
        run_step(
            convert_model, make_job(trained, tmp_path / name, options, examples, definition=definition)
        )
    (tmp_path / "out").mkdir()
    accuracy = [
        {"metric": "BinaryCrossentropy", "max": 5},
        {"metric": "AUC", "config": {"num_thresholds": 10000}, "min": 0.8},
    ]
    verdict = evaluate(
        str(tmp_path / "candidate"),
        str(tmp_path / "baseline"),
        examples,
        Gate.model_validate({"accuracy": accuracy, "latency": {"repetitions": 20, "warmup": 0}}),
        str(tmp_path / "out"),
        1,
        [],
    )
    assert verdict.blessed, verdict.reasons
    assert verdict.measured.activations == {side: {"sign": "sigmoid"} for side in SIDES}
    model = LiteRTModel(model_files.tflite_file(str(tmp_path / "candidate")))
    logits = np.array([model.predict({"x": row})["sign"][0] for row in X], np.float64)
    assert logits.min() < 0 and logits.max() > 1
    positive = 1 / (1 + np.exp(-logits))
    pairs = positive[SIGN == 1][:, np.newaxis] - positive[SIGN == 0]
    expected = [-np.log(np.where(SIGN == 1, positive, 1 - positive)).mean(), (pairs > 0).mean()]
    assert [metric.candidate for metric in verdict.measured.accuracies] == pytest.approx(expected, rel=2e-3)
