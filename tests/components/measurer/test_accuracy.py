"""Metrics by TFMA, held against numpy: of all examples, and of each slice."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow_model_analysis as tfma
import tf_keras
from tfx.types import standard_artifacts

from components.artifacts import BaselinePredictions, ModelMeasurement
from components.common.data.arrays import Arrays
from components.common.data.examples import Examples
from components.common.models import model_files
from components.common.models.model_files import StepRecord
from components.common.tflite.litert import LiteRTModel
from components.evaluator.executor import Executor as Evaluator
from components.evaluator.judgement import FailureKind, Kind
from components.evaluator.params import AccuracyGate, Gate
from components.evaluator.verdict import Verdict
from components.measurer import accuracy, beam_analysis
from components.measurer.executor import Executor as Measurer
from components.measurer.measured import slice_text
from components.predictor.executor import Executor as Predictor
from components.predictor.prediction import predict
from components.selector.choice import figure
from components.tflite_converter.executor import convert
from components.tflite_converter.params import ConvertOptions
from tests.conftest import LABEL_OPTIONS, to_example, write_examples

SCHEMA = """
feature { name: "x" type: FLOAT presence { min_fraction: 1 } shape { dim { size: 4 } } }
feature { name: "group" type: BYTES presence { min_fraction: 1 } shape { dim { size: 1 } } }
feature { name: "hour" type: INT presence { min_fraction: 1 } shape { dim { size: 1 } } }
feature { name: "label" type: FLOAT presence { min_fraction: 1 } shape { dim { size: 1 } } }
"""
COUNT = 150
RNG = np.random.default_rng(11)
X = RNG.normal(size=(COUNT, 4)).astype(np.float32)
GROUP = np.array(["day", "night"])[np.arange(COUNT) % 3 // 2]
HOUR = np.arange(COUNT) % 4


def deployed(activation: str, folder: Path) -> dict[str, str]:
    """The files of a small model of four inputs, float32 as baseline and int8 as candidate."""
    tf_keras.utils.set_random_seed(8)
    x = tf_keras.layers.Input((4,), name="x")
    hidden = tf_keras.layers.Dense(8, activation="relu")(x)
    model = tf_keras.Model(x, tf_keras.layers.Dense(1, activation=activation, name="y")(hidden))
    model_files.save(model, str(folder / "keras"), ["x"], StepRecord())
    for name, quantization in (("baseline", "float32"), ("candidate", "int8")):
        options = ConvertOptions.model_validate({"quantization": quantization})
        content = convert(
            model_files.serving_dir(str(folder / "keras")),
            options,
            False,
            Arrays({"x": X}, np.zeros(COUNT)),
        )
        path = Path(model_files.tflite_file(str(folder / name)))
        path.parent.mkdir(parents=True)
        path.write_bytes(content)
        StepRecord().after(options, file=options.types()).write(str(folder / name))
    return {name: model_files.tflite_file(str(folder / name)) for name in ("candidate", "baseline")}


def outputs_of(path: str) -> np.ndarray:
    model = LiteRTModel(path)
    return np.array([model.predict({"x": row})["y"][0] for row in X], np.float64)


def examples_with(labels: np.ndarray, folder: Path) -> Examples:
    rows = [
        to_example({"x": X[i], "group": GROUP[i], "hour": HOUR[i], "label": float(labels[i])})
        for i in range(COUNT)
    ]
    written = write_examples(folder / "data", SCHEMA, train=rows[:1], eval=rows)
    return Examples(str(written / "examples"), str(written / "schema"), None, "label")


def measured(
    examples: Examples, paths: dict[str, str], output: Path, **gate: Any
) -> dict[str, dict[accuracy.SliceKey, tuple[float | None, int]]]:
    """Model → what `read_metrics` returns."""
    section = AccuracyGate.model_validate(gate)
    config = accuracy.eval_config([section], examples.label)
    sliced = [name for by in section.slices for name in by.features()]
    predictions = predict(examples, paths, sliced).in_order()
    accuracy.analyze(examples, paths, config, str(output), [], predictions=predictions)
    return {model: accuracy.read_metrics(str(output), model, section) for model in paths}


def test_an_error_overall_and_in_slices_of_one_and_of_two_features(tmp_path: Path) -> None:
    paths = deployed("linear", tmp_path)
    labels = X.sum(axis=1).round(3).astype(np.float32)
    slices = [{"by": "group", "max": 1e9}, {"by": ["group", "hour"], "max": 1e9}]
    examples = examples_with(labels, tmp_path)
    gate = {"metric": "MeanSquaredError", "max": 1e9, "slices": slices}
    found = measured(examples, paths, tmp_path / "out", **gate)

    for model, path in paths.items():
        squares = (outputs_of(path) - labels) ** 2
        names = {slice_text(accuracy.slice_values(key)): value for key, value in found[model].items()}
        value, count = names.pop("")
        assert (value, count) == (pytest.approx(squares.mean(), rel=1e-5), COUNT)
        assert len(names) == 2 + 2 * 4
        for group in ("day", "night"):
            chosen = group == GROUP
            assert names[f"group={group}"] == (
                pytest.approx(squares[chosen].mean(), rel=1e-5),
                chosen.sum(),
            )
            for hour in range(4):
                both = chosen & (hour == HOUR)
                key = f"group={group},hour={hour}"
                assert names[key] == (pytest.approx(squares[both].mean(), rel=1e-5), both.sum())
    assert found["candidate"][()] != found["baseline"][()]
    result = tfma.load_eval_result(str(tmp_path / "out"), model_name="candidate")
    assert result.get_metrics_for_slice()["example_count"]["doubleValue"] == COUNT
    # TFMA's own evaluation, which workers elsewhere share.
    metric = AccuracyGate.model_validate(gate)
    config = accuracy.eval_config([metric], examples.label)
    beam_analysis.analyze(examples, paths, config, str(tmp_path / "beam"), [])
    for model, values in found.items():
        again = accuracy.read_metrics(str(tmp_path / "beam"), model, metric)
        assert again == {
            key: (pytest.approx(value, rel=2e-7), count) for key, (value, count) in values.items()
        }


def area_under_curve(scores: np.ndarray, labels: np.ndarray) -> float:
    """Share of pairs of a positive and a negative that are ordered rightly."""
    difference = scores[labels == 1][:, np.newaxis] - scores[labels == 0]
    return float((difference > 0).mean() + (difference == 0).mean() / 2)


@pytest.fixture(scope="module")
def binary(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return deployed("sigmoid", tmp_path_factory.mktemp("binary"))


def test_area_under_the_curve_of_a_binary_model(binary: dict[str, str], tmp_path: Path) -> None:
    noise = np.random.default_rng(3).normal(scale=0.05, size=COUNT)
    labels = (outputs_of(binary["baseline"]) + noise > 0.5).astype(np.float32)
    found = measured(
        examples_with(labels, tmp_path), binary, tmp_path / "out",
        metric="AUC", config={"num_thresholds": 5000}, min=0.5,
    )  # fmt: skip

    for model, path in binary.items():
        value, count = found[model][()]
        assert value == pytest.approx(area_under_curve(outputs_of(path), labels), abs=2e-3)
        assert 0.6 < value < 1 and count == COUNT


def test_a_metric_of_zero_is_a_value(binary: dict[str, str], tmp_path: Path) -> None:
    right = outputs_of(binary["candidate"]) > 0.5
    labels = np.where(GROUP == "night", ~right, right).astype(np.float32)
    found = measured(
        examples_with(labels, tmp_path), {"candidate": binary["candidate"], "baseline": binary["candidate"]},
        tmp_path / "out", metric="BinaryAccuracy", min=0.5, slices=[{"by": "group", "min": 0.1}],
    )  # fmt: skip

    night = int((GROUP == "night").sum())
    assert found["candidate"] == found["baseline"] == {
        (): (pytest.approx((COUNT - night) / COUNT, abs=1e-7), COUNT),
        (("group", "day"),): (1.0, COUNT - night),
        (("group", "night"),): (0.0, night),
    }  # fmt: skip


@pytest.mark.parametrize(
    "metric", ["AUC", "AUCPrecisionRecall", "SensitivityAtSpecificity", "BalancedAccuracy", "Recall"]
)
def test_a_metric_of_one_class_alone_is_not_a_value(
    binary: dict[str, str], tmp_path: Path, metric: str
) -> None:
    """TFMA answers 0 for an area with one class, and so no candidate would be worse than the baseline."""
    labels = np.where(GROUP == "night", 0, X[:, 0] > 0).astype(np.float32)
    arguments = {"config": {"specificity": 0.5}} if metric == "SensitivityAtSpecificity" else {}
    found = measured(
        examples_with(labels, tmp_path), binary, tmp_path / "out",
        metric=metric, min=0.1, slices=[{"by": "group", "min": 0.1}], **arguments,
    )  # fmt: skip

    for model in binary:
        assert 0 <= found[model][()][0] <= 1
        assert 0 <= found[model][(("group", "day"),)][0] <= 1
        value, count = found[model][(("group", "night"),)]
        assert np.isnan(value) and count == (GROUP == "night").sum()


def test_a_recall_at_a_precision_that_no_threshold_reaches_is_not_a_value(
    binary: dict[str, str], tmp_path: Path
) -> None:
    labels = (outputs_of(binary["baseline"]) < 0.5).astype(np.float32)
    found = measured(
        examples_with(labels, tmp_path), binary, tmp_path / "out",
        metric="RecallAtPrecision", config={"precision": 0.9}, max_drop=0.1,
    )  # fmt: skip
    assert all(np.isnan(of_model[()][0]) for of_model in found.values())


def artifact(kind: Any, uri: Path | str) -> Any:
    made = kind()
    made.uri = str(uri)
    return made


@pytest.fixture
def run(binary: dict[str, str], tmp_path: Path) -> Any:
    """Runs the executor as TFX does, and returns both of its artifacts."""

    def do(labels: np.ndarray, **gate: Any) -> tuple[Any, Any]:
        examples = examples_with(labels, tmp_path)
        evaluation = artifact(standard_artifacts.ModelEvaluation, tmp_path / "evaluation")
        blessing = artifact(standard_artifacts.ModelBlessing, tmp_path / "blessing")
        measurement = artifact(ModelMeasurement, tmp_path / "measurement")
        folder = Path(binary["candidate"]).parents[2]
        models = {
            "model": [artifact(standard_artifacts.Model, folder / "candidate")],
            "baseline": [artifact(standard_artifacts.Model, folder / "baseline")],
        }
        predictions = artifact(BaselinePredictions, tmp_path / "predictions")
        given = {
            "examples": [artifact(standard_artifacts.Examples, examples.uri)],
            "schema": [artifact(standard_artifacts.Schema, examples.schema_uri)],
        }
        options = {"label": "label", "label_options": LABEL_OPTIONS, "code_version": "1"}
        Predictor().Do(
            {"model": models["baseline"], **given},
            {"predictions": [predictions]},
            {"features": '["group", "hour"]', **options},
        )
        Measurer(Measurer.Context(beam_pipeline_args=[], unique_id="1", tmp_dir=str(tmp_path))).Do(
            {
                **models,
                **given,
                "predictions": [predictions],
            },
            {"measurement": [measurement]},
            {
                "measures": Gate.model_validate(gate).measured().canonical_json(),
                "seed": 1,
                "machine": "",
                **options,
            },
        )
        Evaluator().Do(
            {**models, "measurement": [measurement]},
            {"evaluation": [evaluation], "blessing": [blessing]},
            {"gate": json.dumps(gate), "code_modules": "[]", "code_version": "1"},
        )
        return evaluation, blessing

    return do


def test_an_area_of_one_class_is_not_measured_and_does_not_pass(run: Any) -> None:
    evaluation, blessing = run(
        np.zeros(COUNT), accuracy={"metric": "AUC", "max_drop": 0.01}, latency=LATENCY
    )

    assert files_of(blessing) == ["NOT_BLESSED"]
    verdict = Verdict.read(Path(evaluation.uri) / "verdict.json")
    (judgement,) = [one for one in verdict.judgements if one.kind is Kind.ACCURACY]
    assert (judgement.value, judgement.met, judgement.failure) == (None, False, FailureKind.NOT_MEASURED)
    assert [one.kind for one in verdict.failures] == [FailureKind.METRIC_UNDEFINED]
    assert "AUC is not defined for these labels and predictions" in verdict.reasons[0]
    assert not evaluation.has_custom_property("accuracy")


def files_of(artifact: Any) -> list[str]:
    return sorted(path.name for path in Path(artifact.uri).iterdir())


LATENCY = {"repetitions": 20, "warmup": 0, "percentile": 99}  # and no limit on it


def test_a_blessing_and_its_figures_are_where_the_pusher_and_lineage_look(run: Any) -> None:
    labels = np.arange(COUNT) % 2
    evaluation, blessing = run(labels, accuracy={"metric": "BinaryAccuracy", "min": 0.1}, latency=LATENCY)

    assert files_of(blessing) == ["BLESSED"]
    assert blessing.get_int_custom_property("blessed") == 1
    assert evaluation.get_int_custom_property("blessed") == 1
    assert evaluation.get_string_custom_property("reason") == ""
    verdict = Verdict.read(Path(evaluation.uri) / "verdict.json")
    assert evaluation.get_float_custom_property("accuracy") == verdict.measured.accuracy.candidate
    assert evaluation.get_int_custom_property("bytes") == verdict.measured.bytes("file")
    assert evaluation.get_float_custom_property("latency_ratio") > 0
    # What the selector reads, too.
    figures = verdict.measured.latency
    assert figures.candidate[99] > figures.candidate[50]
    assert (
        figure(verdict, "latency")
        == figures.ratio
        == pytest.approx(figures.candidate[99] / figures.baseline[99])
    )
    assert figure(verdict, "size") == evaluation.get_int_custom_property("bytes")


def test_a_metric_that_is_nan_gives_no_blessing_and_no_crash(run: Any) -> None:
    # Of no positives, no share can be found.
    evaluation, blessing = run(np.zeros(COUNT), accuracy={"metric": "Recall", "min": 0.0}, latency=LATENCY)

    assert files_of(blessing) == ["NOT_BLESSED"]
    assert blessing.get_int_custom_property("blessed") == 0
    assert "nan" in evaluation.get_string_custom_property("reason")
    # ML Metadata cannot store NaN: it raises an InternalError that ends the run.
    assert not evaluation.has_custom_property("accuracy")
    text = (Path(evaluation.uri) / "verdict.json").read_text()
    assert json.loads(text)["measured"]["accuracy"]["candidate"] is None
    assert "NaN" not in text


def test_a_baseline_that_has_learnt_nothing_lets_nothing_pass(run: Any, binary: dict[str, str]) -> None:
    positive = outputs_of(binary["baseline"]) > 0.5
    labels = np.empty(COUNT)
    for side in (positive, ~positive):  # every other prediction is wrong
        labels[side] = np.arange(side.sum()) % 2
    evaluation, blessing = run(
        labels, accuracy={"metric": "BinaryAccuracy", "max_drop": 0.9}, latency=LATENCY
    )

    assert files_of(blessing) == ["NOT_BLESSED"]
    verdict = Verdict.read(Path(evaluation.uri) / "verdict.json")
    assert [one.kind for one in verdict.failures] == [FailureKind.BASELINE_AT_CHANCE]
    assert all(judgement.met for judgement in verdict.judgements)
    assert verdict.measured.accuracy.chance.constant == pytest.approx(0.5, abs=0.01)
    assert verdict.measured.accuracy.chance.perfect == 1
    assert "and a constant prediction has 0.5" in verdict.reasons[0]


def test_the_interval_is_in_the_verdict_and_a_limit_with_confidence_holds_its_end(
    run: Any, binary: dict[str, str]
) -> None:
    # Where the baseline is least sure, the candidate differs.
    labels = (outputs_of(binary["baseline"]) > 0.5).astype(np.float32)
    right = (outputs_of(binary["candidate"]) > 0.5) == labels
    limits = {"max_drop": 0.9, "confidence": 0.95, "slices": [{"by": "group", "min": 0.1}]}
    accuracy = {"metric": "BinaryAccuracy", **limits}
    evaluation, blessing = run(labels, accuracy=accuracy, latency=LATENCY)

    assert files_of(blessing) == ["BLESSED"]
    verdict = Verdict.read(Path(evaluation.uri) / "verdict.json")
    found = verdict.measured.accuracy
    interval = found.drop_interval
    assert interval.low <= found.drop <= interval.high
    assert found.drop == pytest.approx(1 - right.mean(), abs=1e-6)
    judgement = next(one for one in verdict.judgements if one.bound == "max_drop")
    assert (judgement.value, judgement.confidence) == (round(interval.high, 12), 0.95)
    assert judgement.estimate == pytest.approx(found.drop)
    assert len(found.slices) == 2 and all(one.uncertainty for one in found.slices)
    assert found.classes.share == pytest.approx(max(labels.mean(), 1 - labels.mean()))
    assert (found.classes.label, found.lost) == ("label", ())
