"""The metrics of a gate are those that TFMA computes, with the arguments that they take."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import tensorflow_model_analysis as tfma
from pydantic import ValidationError
from tensorflow_model_analysis.metrics import metric_specs

from components.common.base.metric_facts import NO_QUALITY
from components.evaluator.params import AccuracyGate, Gate
from pipeline.checks import gate_metrics, tfma_metrics
from pipeline.checks.config_checks import check
from pipeline.checks.tfma_metrics import arguments, known_metrics
from pipeline.config.config_file import load
from pipeline.config.problem import Problem
from tests.pipeline.checks.unread import CONFIG, checked, refusal
from tests.project import changed


@pytest.mark.parametrize(
    ("metric", "suggestion"),
    [
        ("SparseCategoricalAcuracy", "; did you mean 'SparseCategoricalAccuracy'?"),
        ("sparse_categorical_accuracy", "; did you mean 'SparseCategoricalAccuracy'?"),
        ("sparsecategoricalaccuracy", "; did you mean 'SparseCategoricalAccuracy'?"),
        ("Foo", "; see https://www.tensorflow.org/tfx/model_analysis/metrics"),
        ("MeanMetricWrapper", ""),
        ("CalibrationPlot", "; did you mean 'Calibration'?"),
    ],
)
def test_metric_that_tfma_cannot_compute_is_refused(unread, metric, suggestion):
    found = refusal(
        unread, changed(CONFIG, "metric: SparseCategoricalAccuracy", f"metric: {metric}  # here")
    )

    assert found.key() == "gate.accuracy.metric"
    assert found.message.startswith(
        f"{metric!r} is not a metric of TFMA or tf_keras that gives one number{suggestion}"
    )


@pytest.mark.parametrize(
    ("metric", "config", "key", "message"),
    [
        (
            "PrecisionAtRecall",
            "{}",
            "gate.accuracy.config",
            "PrecisionAtRecall needs recall; write config: {recall: …}",
        ),
        (
            "OneHotIoU",
            "{num_classes: 3}",
            "gate.accuracy.config",
            "OneHotIoU needs target_class_ids; write config: {target_class_ids: …}",
        ),
        (
            "RecallAtPrecision",
            "{precison: 0.9}",
            "gate.accuracy.config.precison",
            "RecallAtPrecision has no argument 'precison'; did you mean 'precision'?",
        ),
        (
            "SparseTopKCategoricalAccuracy",
            "{top_k: 3}",
            "gate.accuracy.config.top_k",
            "SparseTopKCategoricalAccuracy has no argument 'top_k'",
        ),
    ],
)
def test_metric_with_wrong_arguments_is_refused(unread, metric, config, key, message):
    text = changed(
        CONFIG,
        "metric: SparseCategoricalAccuracy",
        f"metric: {metric}\n    config: {config}  # here",
    )
    found = refusal(unread, text)

    assert found.key() == key
    assert found.message == message


@pytest.mark.parametrize(
    ("metric", "config"),
    [
        ("MeanSquaredError", "{dtype: float32}"),
        ("BinaryAccuracy", "{threshold: 0.3}"),
        ("AUC", "{curve: PR, num_thresholds: 100}"),
        ("PrecisionAtRecall", "{recall: 0.9}"),
        ("SparseTopKCategoricalAccuracy", "{k: 3}"),
    ],
)
def test_metric_with_its_arguments_is_accepted(unread, metric, config):
    text = changed(CONFIG, "metric: SparseCategoricalAccuracy", f"metric: {metric}\n    config: {config}")

    assert checked(unread, text) == []


def resolved(name: str, required: Iterable[str]) -> str:
    """The module of the metric that TFMA makes of a name, or why it makes none."""
    config = json.dumps(dict.fromkeys(required, 1))
    try:
        metric = metric_specs.metric_instance(tfma.MetricConfig(class_name=name, config=config))
    except ValueError as error:
        return str(error).split(":")[0]
    except (TypeError, AttributeError):
        return "resolved; its arguments are wrong"
    return type(metric).__module__


def test_known_metrics_are_those_that_tfma_resolves():
    known = known_metrics()
    required = {name: found.required for name in known if (found := arguments(name))}
    assert required.keys() == known
    strangers = {"Foo": (), "FixedSizeSample": (), "MeanSquareError": ()}
    found = {name: resolved(name, keys) for name, keys in (required | strangers).items()}

    unknown = "Unknown metric function"
    assert {name for name, where in found.items() if where == unknown} == set(strangers)
    assert found["SparseCategoricalAccuracy"] == "tf_keras.src.metrics.accuracy_metrics"
    tfma = "tensorflow_model_analysis.metrics."
    assert found["AUC"] == found["BinaryAccuracy"] == tfma + "confusion_matrix_metrics"
    assert found["MeanSquaredError"] == tfma + "mean_regression_error"
    assert found["ExampleCount"] == tfma + "example_count"
    assert len(known) > 100


# Written down from the definitions in TFMA and tf_keras; of all others, a higher value is better.
LOWER_IS_BETTER = """
    BinaryCrossEntropy BinaryCrossentropy CategoricalCrossEntropy CategoricalCrossentropy CategoricalHinge FN
    FNR FP FPR FallOut FalseDiscoveryRate FalseNegatives FalseOmissionRate FalsePositives Hinge KLDivergence
    LogCoshError MeanAbsoluteError MeanAbsolutePercentageError MeanRelativeError MeanSquaredError
    MeanSquaredLogarithmicError MinLabelPosition MissRate NegativeLikelihoodRatio Poisson PrevalenceThreshold
    RootMeanSquaredError SparseCategoricalCrossentropy SquaredHinge BooleanFlipRates NegToNegFlipRate
    NegToPosFlipRate PosToNegFlipRate PosToPosFlipRate SymmetricFlipRate SymmetricPredictionDifference
"""
HIGHER_IS_BETTER = """
    AUC AUCPrecisionRecall BalancedAccuracy BinaryAccuracy BinaryIoU CategoricalAccuracy
    CoefficientOfDiscrimination CosineSimilarity DiagnosticOddsRatio F1Score FowlkesMallowsIndex
    Informedness IoU Markedness MatthewsCorrelationCoefficient MeanIoU ModelCosineSimilarity NDCG NPV
    NegativePredictiveValue OneHotIoU OneHotMeanIoU PPV PositiveLikelihoodRatio Precision PrecisionAtRecall
    Recall RecallAtFalsePositiveRate RecallAtPrecision RelativeCoefficientOfDiscrimination
    SensitivityAtSpecificity SparseCategoricalAccuracy SparseTopKCategoricalAccuracy Specificity
    SpecificityAtSensitivity SquaredPearsonCorrelation TN TNR TP TPR ThreatScore TopKCategoricalAccuracy
    TrueNegatives TruePositives
"""


def test_the_direction_of_every_metric_that_the_gate_accepts_is_known() -> None:
    directions = dict.fromkeys(LOWER_IS_BETTER.split(), False) | dict.fromkeys(
        HIGHER_IS_BETTER.split(), True
    )
    assert known_metrics() - NO_QUALITY.keys() == directions.keys() | {"Calibration"}
    for metric, ascending in directions.items():
        gate = AccuracyGate(metric=metric)
        assert gate.direction_is_known(), metric
        assert gate.ascending() is ascending, metric
    assert not AccuracyGate(metric="Calibration").direction_is_known()
    assert AccuracyGate(metric="Calibration", higher_is_better=True).ascending()


@pytest.mark.parametrize("metric", sorted(NO_QUALITY))
def test_a_metric_that_does_not_measure_quality_is_refused(metric: str) -> None:
    (problem,) = _mistakes({"accuracy": {"metric": metric, "higher_is_better": True, "min": 0.5}})
    assert problem.location == ("gate", "accuracy", "metric")
    assert NO_QUALITY[metric] in problem.message


@pytest.mark.parametrize(
    ("section", "limits", "key", "part"),
    [
        ("accuracy", {"metric": "AUC", "max_drop": None}, "max_drop", "has no value"),
        ("accuracy", {"metric": "AUC", "max_drop": 2}, "max_drop", "every candidate would meet max_drop: 2"),
        ("accuracy", {"metric": "AUC", "max_drop": 1}, "max_drop", "every candidate would meet"),
        ("accuracy", {"metric": "MatthewsCorrelationCoefficient", "max_drop": 2}, "max_drop", "every candidate"),
        ("accuracy", {"metric": "AUC", "max_drop": -0.1}, "max_drop", "a drop is not negative"),
        ("accuracy", {"metric": "AUC", "max_ratio": 1.1}, "max_ratio", "write max_drop or min"),
        ("accuracy", {"metric": "AUC", "min": 98}, "min", "between 0 and 1, so no candidate could meet min: 98"),
        ("accuracy", {"metric": "AUC", "min": -1}, "min", "every candidate would meet min: -1"),
        ("accuracy", {"metric": "AUC", "min": 0}, "min", "every candidate would meet min: 0"),
        ("accuracy", {"metric": "AUC", "min": 0.5}, "min", "a constant prediction has a AUC of 0.5"),
        ("accuracy", {"metric": "BalancedAccuracy", "min": 0.4}, "min", "a constant prediction"),
        ("accuracy", {"metric": "Informedness", "min": 1.5}, "min", "between -1 and 1, so no candidate"),
        ("accuracy", {"metric": "AUC", "max": 0.9}, "max", "write min or max_drop"),
        ("accuracy", {"metric": "FPR", "max": 1}, "max", "every candidate would meet max: 1"),
        ("accuracy", {"metric": "PrevalenceThreshold", "max_drop": 1}, "max_drop", "every candidate"),
        ("accuracy", {"metric": "MeanSquaredError", "max": -1}, "max", "0 or more, so no candidate"),
        ("accuracy", {"metric": "MeanSquaredError", "min": 0.1}, "min", "write max or max_drop"),
        (
            "accuracy", {"metric": "MeanSquaredError", "max": 1, "higher_is_better": True}, "higher_is_better",
            "a lower MeanSquaredError is better",
        ),
        (
            "accuracy", {"metric": "AUC", "min": 0.9, "slices": [{"by": "x", "min": 1.2}]}, "slices.0.min",
            "no candidate could meet min: 1.2",
        ),
        ("size", {"max": 0}, "max", "no candidate could meet max: 0"),
        ("size", {"min": 10}, "min", "write max or max_drop"),
        ("latency", {"max": -1}, "max", "no candidate could meet"),
        ("latency", {"max_drop": -1}, "max_drop", "a drop is not negative"),
        ("latency", {"max_ratio": None}, "max_ratio", "has no value"),
    ],
)  # fmt: skip
def test_a_limit_that_judges_nothing_is_refused(
    section: str, limits: dict[str, Any], key: str, part: str
) -> None:
    (problem,) = _mistakes({"accuracy": {"metric": "AUC", "min": 0.9}, section: limits} | {
        "size" if section != "size" else "latency": {"max_ratio": 2.0}
    })  # fmt: skip
    assert ".".join(map(str, problem.location)) == f"gate.{section}.{key}"
    assert part in problem.message


@pytest.mark.parametrize(
    ("metrics", "part"),
    [
        ([{"metric": "Recall", "min": 0.9}], "always predicts the positive class has the best Recall"),
        ([{"metric": "Recall", "max_drop": 0.01}, {"metric": "FNR", "max": 0.1}], "so meets these limits"),
        ([{"metric": "Specificity", "min": 0.9}], "always predicts the negative class has the best Specificity"),
        ([{"metric": "FPR", "max": 0.1}, {"metric": "Precision"}], "a limit on Recall, NPV, AUC"),
        ([{"metric": "Recall", "config": {"class_id": 2}, "slices": [{"by": "x", "min": 0.5}]}], "positive class"),
    ],
)  # fmt: skip
def test_limits_that_a_constant_prediction_meets_are_refused(
    metrics: list[dict[str, Any]], part: str
) -> None:
    (problem,) = _mistakes({"accuracy": metrics, "size": {"max_ratio": 0.3}})
    assert problem.location == ("gate", "accuracy", 0, "metric")
    assert part in problem.message


@pytest.mark.parametrize(
    "metrics",
    [
        [{"metric": "Recall", "min": 0.9}, {"metric": "Precision", "min": 0.5}],
        [{"metric": "Recall", "min": 0.9}, {"metric": "Specificity", "max_drop": 0.1}],
        [{"metric": "Recall", "config": {"top_k": 2}, "min": 0.9}],
        [{"metric": "Recall"}, {"metric": "AUC", "min": 0.9}],
    ],
)
def test_limits_on_both_sides_are_accepted(metrics: list[dict[str, Any]]) -> None:
    assert _mistakes({"accuracy": metrics, "size": {"max_ratio": 0.3}}) == []


def test_an_overlap_of_classes_takes_probabilities() -> None:
    metric = {"metric": "MeanIoU", "config": {"num_classes": 10}, "max_drop": 0.1}
    (problem,) = _mistakes({"accuracy": metric})
    assert problem.location == ("gate", "accuracy", "config")
    assert "sparse_y_pred: false" in problem.message
    metric["config"] = {"num_classes": 10, "sparse_y_pred": False}
    assert _mistakes({"accuracy": metric}) == []


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ({}, "does not say which examples are anomalies; write anomaly: and a feature"),
        (
            {"anomaly": "broken", "against": "baseline"},
            "against cannot be combined with reconstruction_auc",
        ),
        (
            {"anomaly": "broken", "config": {"top_k": 2}},
            "config cannot be combined with reconstruction_auc",
        ),
        (
            {"metric": "AUC", "anomaly": "broken"},
            "anomaly belongs to metric: reconstruction_auc; remove it",
        ),
    ],
)
def test_anomalies_are_identified_by_a_feature(written: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        AccuracyGate.model_validate({"metric": "reconstruction_auc", "min": 0.9, **written})


def test_anomalies_are_those_of_a_model_that_reconstructs_its_input() -> None:
    metric = {"metric": "reconstruction_auc", "anomaly": "broken", "min": 0.9, "confidence": 0.95}
    reconstructs, interval = _mistakes({"accuracy": metric})
    assert reconstructs.location == ("gate", "accuracy", "metric")
    assert "write data.label: {same_as: input}" in reconstructs.message
    assert interval.location == ("gate", "accuracy", "confidence")
    (_, problem) = _mistakes({"accuracy": {**metric, "confidence": None, "min": 0.4}})
    assert problem.location == ("gate", "accuracy", "min")


def test_logits_are_not_turned_into_probabilities_twice() -> None:
    metric = {"metric": "BinaryCrossentropy", "config": {"from_logits": True}, "max_drop": 0.1}
    (problem,) = _mistakes({"accuracy": metric})
    assert problem.location == ("gate", "accuracy", "config", "from_logits")
    assert "remove from_logits" in problem.message


@pytest.mark.parametrize(
    "accuracy",
    [
        {"metric": "AUC", "min": 0.51},
        {"metric": "AUC", "config": {"curve": "PR"}, "min": 0.2},
        {"metric": "AUC", "max_drop": 0},
        {"metric": "AUC", "min": 0.9, "max": 0.99},
        {"metric": "MatthewsCorrelationCoefficient", "max_drop": 1.5},
        {"metric": "MeanSquaredError", "max_ratio": 1.1, "max_drop": 3},
        {"metric": "Calibration", "higher_is_better": True, "min": 0.9, "max": 1.1},
        {"metric": "Poisson", "max": -2},
    ],
)
def test_a_limit_that_a_candidate_can_meet_and_miss_is_accepted(accuracy: dict[str, Any]) -> None:
    assert _mistakes({"accuracy": accuracy, "size": {"max_ratio": 0.3}}) == []


def _mistakes(gate: dict[str, Any]) -> list[Problem]:
    """The mistakes in metrics and limits of a gate."""
    config = load("configs/mnist/pipeline.yaml").config
    return gate_metrics.check(config.model_copy(update={"gate": Gate.model_validate(gate)}))


def test_a_metric_without_a_direction_is_refused(tmp_path):
    file = load("configs/mnist/pipeline.yaml", ["gate.accuracy.metric=Calibration"])
    (problem,) = check(file)
    assert problem.key() == "gate.accuracy.metric"
    assert "write higher_is_better: true or higher_is_better: false" in problem.message


def test_what_a_metric_takes_is_parsed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    names = ("SparseCategoricalAccuracy", "AUC", "BinaryCrossEntropy", "MeanIoU", "Nonsense")
    found = [arguments(name) for name in names]
    assert found[3] is not None and found[3].required == ("num_classes",)
    assert found[-1] is None
    parsed: list[str] = []
    search = tfma_metrics._search
    monkeypatch.setattr(tfma_metrics, "_search", lambda name: parsed.append(name) or search(name))
    assert [arguments(name) for name in names] == found
    assert parsed == ["Nonsense"]

    (kept,) = (tmp_path / "paredown").iterdir()
    kept.write_text(kept.read_text().replace("num_classes", "classes"))  # is not believed
    assert [arguments(name) for name in names] == found
    monkeypatch.setattr(tfma_metrics, "_versions", lambda: "other")
    arguments("AUC")
    assert "AUC" in parsed
