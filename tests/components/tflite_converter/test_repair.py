"""A model of which one layer loses its accuracy in int8: which layer that is, and the repair."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from sklearn.datasets import load_digits
from sklearn.neural_network import MLPClassifier

from components.common.base.held_back_limit import HeldBackLimit
from components.common.base.sensitivity import REPAIR, REPAIRED, SENSITIVITY, Repair, Sensitivity
from components.common.data.arrays import Arrays
from components.common.data.examples import Examples
from components.common.models import model_files
from components.common.models.model_files import StepRecord
from components.common.tflite import file_types, tflite_file
from components.common.tflite.litert import LiteRTModel
from components.tflite_converter import held_back
from components.tflite_converter.conversion_error import ConversionError
from components.tflite_converter.executor import convert_model
from components.tflite_converter.params import ConvertOptions, RepairOptions
from pipeline.explain import sensitivity
from pipeline.explain.sensitivity import Made
from tests.components.conftest import Step, make_job, run_step
from tests.conftest import SEED, to_example, write_examples

SCHEMA = """\
feature { name: "pixels" type: FLOAT presence { min_fraction: 1 min_count: 1 } shape { dim { size: 64 } } }
feature { name: "label" type: INT presence { min_fraction: 1 min_count: 1 } shape { dim { size: 1 } } }
"""
TRAIN = 1200
HIDDEN = 24
LIMIT = HeldBackLimit(metric="SparseCategoricalAccuracy", max_drop=0.005)


@dataclasses.dataclass(frozen=True)
class Wide:
    """The model, the data, and what float is worth.

    Attributes:
        uri: Its artifact.
        examples: Train and eval.
        spoiled: The same train, with an eval split of noise and one label.
        accuracy: Of the model in float, on eval.
        evaluation: The eval split.
    """

    uri: str
    examples: Examples
    spoiled: Examples
    accuracy: float
    evaluation: tuple[np.ndarray, np.ndarray]

    def accuracy_of(self, step: Step) -> float:
        pixels, labels = self.evaluation
        found = LiteRTModel(model_files.tflite_file(step.uri)).predict_each({"pixels": pixels})
        return float((found["digit"].argmax(axis=-1) == labels).mean())


def model() -> tf_keras.Model:
    """A perceptron on digits; a unit of `narrow` that is always 0 has great weights in `wide`."""
    pixels, labels = load_digits(return_X_y=True)
    pixels = (pixels / 16).astype(np.float32)
    found = MLPClassifier((HIDDEN, HIDDEN), max_iter=40, random_state=0)
    found.fit(pixels[:TRAIN], labels[:TRAIN])
    layers = tf_keras.layers
    given = x = layers.Input((64,), name="pixels")
    for name, units in (("narrow", HIDDEN + 1), ("wide", HIDDEN)):
        x = layers.Dense(units, activation="relu", name=name)(x)
    made = tf_keras.Model(given, layers.Dense(10, activation="softmax", name="digit")(x), name="net")
    first, second, last = found.coefs_
    unit = np.pad(first, ((0, 0), (0, 1))), np.append(found.intercepts_[0], -1)
    great = np.concatenate([second, np.full((1, HIDDEN), 200.0)])
    made.get_layer("narrow").set_weights(unit)
    made.get_layer("wide").set_weights([great, found.intercepts_[1]])
    made.get_layer("digit").set_weights([last, found.intercepts_[2]])
    return made


@pytest.fixture(scope="session")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Wide:
    folder = tmp_path_factory.mktemp("wide")
    pixels, labels = load_digits(return_X_y=True)
    pixels = (pixels / 16).astype(np.float32)
    made = model()
    model_files.save(made, str(folder / "model"), ["pixels"], StepRecord())
    noise = np.random.default_rng(0).uniform(size=(100, 64)).astype(np.float32)

    def examples(name: str, pixels_: np.ndarray, labels_: np.ndarray) -> Examples:
        splits = {"train": (pixels[:TRAIN], labels[:TRAIN]), "eval": (pixels_, labels_)}
        records = {
            split: [to_example({"pixels": one, "label": label}) for one, label in zip(*both, strict=True)]
            for split, both in splits.items()
        }
        uri = write_examples(folder / name, SCHEMA, **records)
        return Examples(str(uri / "examples"), str(uri / "schema"), None, "label")

    evaluation = pixels[TRAIN:], labels[TRAIN:]
    return Wide(
        str(folder / "model"),
        examples("data", *evaluation),
        examples("spoiled", noise, np.full(100, 3)),
        float((made(evaluation[0]).numpy().argmax(axis=-1) == evaluation[1]).mean()),
        evaluation,
    )


Convert = Callable[..., Step]


@pytest.fixture(scope="session")
def convert_wide(wide: Wide, tmp_path_factory: pytest.TempPathFactory) -> Convert:
    def convert(examples: Examples = wide.examples, **options: Any) -> Step:
        output = tmp_path_factory.mktemp("converted")
        asked = ConvertOptions(quantization="int8", held_back=400, **options)
        return Step(str(output), run_step(convert_model, make_job(wide.uri, output, asked, examples)))

    return convert


@pytest.fixture(scope="session")
def repaired(convert_wide: Convert) -> Step:
    return convert_wide(repair=RepairOptions(max_float=3), limits=[LIMIT])


def float_kernels(step: Step) -> list[str]:
    kernels = tflite_file.read(model_files.tflite_file(step.uri)).kernels
    return [kernel.layer for kernel in kernels if kernel.dtype == "float32"]


def test_plain_int8_loses_more_than_two_points(wide: Wide, convert_wide: Convert) -> None:
    assert wide.accuracy > 0.85
    assert wide.accuracy_of(convert_wide()) < wide.accuracy - 0.02


def test_the_repair_leaves_that_one_layer_in_float(wide: Wide, repaired: Step) -> None:
    assert float_kernels(repaired) == ["wide"]
    assert wide.accuracy_of(repaired) > wide.accuracy - 0.005


def test_the_record_and_the_facts_have_what_was_done(repaired: Step) -> None:
    record = StepRecord.read(repaired.uri)
    found, layers = record.repair, record.sensitivity

    assert found is not None and layers is not None
    assert (found.kept(), found.met, found.max_float, found.examples) == (["wide"], True, 3, 400)
    (figure,) = found.figures
    assert figure.before < figure.baseline - 0.02 < figure.after
    assert (figure.limits, figure.missed) == ({"max_drop": 0.005}, [])
    assert record.file is not None and record.file.float_layers == ["wide"]
    assert repaired.facts[REPAIRED] == "wide"
    read = Repair.from_property(repaired.facts, REPAIR)
    assert read is not None and read.kept() == ["wide"]
    assert read.figures[0].after == pytest.approx(figure.after, rel=1e-5)
    again = Sensitivity.from_property(repaired.facts, SENSITIVITY)
    assert again is not None and [one.layer for one in again.layers] == [one.layer for one in layers.layers]


def test_the_layer_is_the_first_of_the_ranked_ones_with_its_reason(repaired: Step) -> None:
    found = StepRecord.read(repaired.uri).sensitivity
    assert found is not None and found.in_int8 is not None and found.in_float is not None
    first, *others = found.layers

    assert {one.layer for one in found.layers} == {"narrow", "wide", "digit"}
    assert first.layer == "wide"
    assert first.reason == "weight_outliers"
    assert first.amount > 0.9
    assert "float_layers: [wide]" in first.advice()
    assert first.value is not None and first.value > found.in_float - 0.005
    assert first.snr is not None and first.cosine is not None
    for one in others:
        assert one.rmse_scale < 0.6 < first.rmse_scale
        assert one.snr is not None and one.snr > first.snr + 10
        assert one.cosine is not None and one.cosine > 0.99 > first.cosine
        assert one.reason == ""
        gain = found.gain(one)
        assert gain is not None and gain < 0.05 < (found.gain(first) or 0)


def test_the_file_has_the_types_that_the_gate_asks_for(repaired: Step) -> None:
    record = StepRecord.read(repaired.uri)
    assert record.file is not None
    checks = file_types.check(tflite_file.read(model_files.tflite_file(repaired.uri)), record.file, [])
    assert [check.reason for check in checks if not check.met] == []


def test_the_eval_split_is_never_used(repaired: Step, convert_wide: Convert, wide: Wide) -> None:
    other = convert_wide(wide.spoiled, repair=RepairOptions(max_float=3), limits=[LIMIT])

    # On that eval split, no file is right more often than by chance.
    assert StepRecord.read(other.uri) == StepRecord.read(repaired.uri)
    assert Path(model_files.tflite_file(other.uri)).read_bytes() == (
        Path(model_files.tflite_file(repaired.uri)).read_bytes()
    )
    # The spoiled split did reach the step.
    assert other.facts["max_error"] != repaired.facts["max_error"]


def test_integers_at_both_ends_stay(convert_wide: Convert) -> None:
    step = convert_wide(io="int8", repair=RepairOptions(max_float=1), limits=[LIMIT])
    file = tflite_file.read(model_files.tflite_file(step.uri))

    assert float_kernels(step) == ["wide"]
    assert [tensor.dtype for tensor in (*file.inputs.values(), *file.outputs.values())] == ["int8", "int8"]


def test_a_repair_that_is_not_needed_changes_no_byte(convert_wide: Convert) -> None:
    easy = LIMIT.model_copy(update={"max_drop": 0.9})
    step = convert_wide(repair=RepairOptions(), limits=[easy])
    found = StepRecord.read(step.uri).repair

    assert found is not None and (found.kept(), found.met) == ([], True)
    assert step.facts[REPAIRED] == "none"
    assert float_kernels(step) == []


def test_a_limit_that_no_layer_helps_to_meet_is_reported(convert_wide: Convert) -> None:
    out_of_reach = HeldBackLimit(metric="SparseCategoricalAccuracy", min=1.0, max_drop=-0.1)
    step = convert_wide(repair=RepairOptions(max_float=2), limits=[out_of_reach])
    found = StepRecord.read(step.uri).repair

    assert found is not None and not found.met
    assert found.kept()[0] == "wide"  # which helps all the same
    assert len(found.layers) == 2
    assert "max_drop" in found.figures[0].missed
    assert "limits are still missed" in found.text()


def test_layer_errors_alone_leave_the_file_as_it_is(convert_wide: Convert) -> None:
    step = convert_wide(layer_errors=True, limits=[HeldBackLimit(metric="agreement")])
    record = StepRecord.read(step.uri)

    assert record.repair is None and REPAIR not in step.facts
    assert record.sensitivity is not None and record.sensitivity.layers[0].layer == "wide"
    assert record.sensitivity.in_float == 1.0  # of its own decisions
    assert float_kernels(step) == []


def test_the_command_measures_what_the_conversion_does(wide: Wide, convert_wide: Convert) -> None:
    recorded = StepRecord.read(convert_wide(layer_errors=True, limits=[LIMIT]).uri).sensitivity
    folders = {"base_model": wide.uri, "examples": wide.examples.uri, "schema": wide.examples.schema_uri}
    options = ConvertOptions(quantization="int8", held_back=400, layer_errors=True, limits=[LIMIT])
    label = '{"classes": null, "class_weights": null}'
    parameters = {"label": "label", "label_options": label, "seed": SEED}

    assert sensitivity.measure(Made("int8", options, folders, parameters, wide.uri)) == recorded


def test_examples_are_divided_by_the_seed() -> None:
    train = Arrays({"x": np.arange(50)}, np.arange(50))
    one, again, other = (held_back.divide(train, 20, 15, seed) for seed in (1, 1, 2))
    parts = [set(np.asarray(part.features["x"])) for part in (one.calibration, one.held_back)]

    assert [len(part) for part in parts] == [20, 15]
    assert not parts[0] & parts[1]
    assert parts[1] == set(np.asarray(again.held_back.features["x"]))
    assert parts[1] != set(np.asarray(other.held_back.features["x"]))
    assert len(held_back.divide(train, 40, 1000, 1).held_back) == 25


@pytest.mark.parametrize(
    ("metric", "labels", "predicted", "value"),
    [
        ({"metric": "SparseCategoricalAccuracy"}, [0, 1, 1, 0], [[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [1, 0]], 0.75),
        ({"metric": "BinaryAccuracy"}, [0, 1, 1, 0], [[0.1], [0.9], [0.2], [0.3]], 0.75),
        ({"metric": "MeanAbsoluteError"}, [0.0, 1.0, 2.0, 3.0], [[0.0], [1.5], [2.0], [2.5]], 0.25),
        ({"metric": "AUC"}, [0, 1, 1, 0], [[0.1], [0.9], [0.2], [0.3]], 0.75),
        ({"metric": "Precision", "config": {"class_id": 1}}, [0, 1, 1, 0],
         [[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.3, 0.7]], 0.5),
        ({"metric": "agreement"}, [0, 0, 0, 0], [[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [1, 0]], 1.0),
        ({"metric": "MeanSquaredError", "against": "baseline"}, [9.0, 9.0], [[1.0], [2.0]], 0.0),
    ],
    ids=lambda value: value["metric"] if isinstance(value, dict) else "",
)  # fmt: skip
def test_metrics_of_held_back_examples(
    metric: dict[str, Any], labels: list[Any], predicted: list[Any], value: float
) -> None:
    outputs = np.asarray(predicted, np.float32)
    examples = Arrays({"row": np.arange(len(labels))}, np.asarray(labels))

    def signature(row: Any) -> dict[str, Any]:
        return {"output": tf.gather(outputs, row)}

    found = held_back.HeldBack(examples, [HeldBackLimit(**metric)], signature, {}, {})
    assert found.baseline == pytest.approx([value], abs=1e-3)


def test_a_metric_that_keras_lacks_is_refused_with_the_fix() -> None:
    with pytest.raises(
        ConversionError, match=r"DiagnosticOddsRatio cannot be measured .* write limits: under"
    ):
        held_back.metric_of(HeldBackLimit(metric="DiagnosticOddsRatio", max_drop=1))
