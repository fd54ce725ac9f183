"""The metrics of a gate are those that TFMA computes, with the arguments that they take."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from components.evaluator.params import AccuracyGate
from pipeline.checks.config_checks import check
from pipeline.checks.tfma_metrics import arguments, known_metrics
from pipeline.config.config_file import load
from tests.pipeline.checks.unread import CONFIG, checked, refusal
from tests.project import changed


@pytest.mark.parametrize(
    ("metric", "suggestion"),
    [
        ("SparseCategoricalAcuracy", "; did you mean 'SparseCategoricalAccuracy'?"),
        ("sparse_categorical_accuracy", "; did you mean 'SparseCategoricalAccuracy'?"),
        ("accuracy", "; did you mean 'Accuracy'?"),
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


RESOLVE = """
import json, os, sys
os.environ.update(TF_USE_LEGACY_KERAS="1", TF_CPP_MIN_LOG_LEVEL="3")
import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.metrics import metric_specs
found = {}
for name, required in json.loads(sys.argv[1]).items():
    config = {key: 1 for key in required}
    try:
        metric = metric_specs.metric_instance(
            tfma.MetricConfig(class_name=name, config=json.dumps(config)))
        found[name] = type(metric).__module__
    except ValueError as error:
        found[name] = str(error).split(":")[0]
    except (TypeError, AttributeError):
        found[name] = "resolved; its arguments are wrong"
print(json.dumps(found))
"""


def test_known_metrics_are_those_that_tfma_resolves():
    known = known_metrics()
    required = {name: found.required for name in known if (found := arguments(name))}
    assert required.keys() == known
    strangers = {"Foo": (), "FixedSizeSample": (), "MeanSquareError": ()}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", RESOLVE, json.dumps(required | strangers)],
        capture_output=True,
        text=True,
        check=True,
    )
    resolved = json.loads(done.stdout.splitlines()[-1])

    unknown = "Unknown metric function"
    assert {name for name, where in resolved.items() if where == unknown} == set(strangers)
    assert resolved["SparseCategoricalAccuracy"] == "tf_keras.src.metrics.accuracy_metrics"
    tfma = "tensorflow_model_analysis.metrics."
    assert resolved["AUC"] == resolved["BinaryAccuracy"] == tfma + "confusion_matrix_metrics"
    assert resolved["MeanSquaredError"] == tfma + "mean_regression_error"
    assert resolved["ExampleCount"] == tfma + "example_count"
    assert len(known) > 100


@pytest.mark.parametrize(
    ("metric", "ascending"),
    [
        ("SparseCategoricalAccuracy", True),
        ("AUC", True),
        ("Precision", True),
        ("TNR", True),
        ("MeanSquaredError", False),
        ("BinaryCrossentropy", False),
        ("FNR", False),
        ("FP", False),
        ("FalseOmissionRate", False),
        ("MissRate", False),
        ("CategoricalHinge", False),
        ("KLDivergence", False),
        ("ExampleCount", None),
        ("Prevalence", None),
        ("MeanPrediction", None),
    ],
)
def test_which_way_a_metric_is_better_is_known_or_has_to_be_written(
    metric: str, ascending: bool | None
) -> None:

    gate = AccuracyGate(metric=metric)
    assert gate.direction_is_known() is (ascending is not None)
    assert gate.ascending() is bool(ascending)
    assert AccuracyGate(metric=metric, higher_is_better=True).ascending()


def test_a_metric_without_a_direction_is_refused(tmp_path):
    file = load("configs/mnist/pipeline.yaml", ["gate.accuracy.metric=ExampleCount"])
    (problem,) = check(file)
    assert problem.key() == "gate.accuracy.metric"
    assert "write higher_is_better: true or higher_is_better: false" in problem.message
