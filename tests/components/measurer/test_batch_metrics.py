"""Every metric that the gate accepts, computed on arrays and by TFMA's own evaluation of the same predictions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import pytest
import tensorflow_model_analysis as tfma

from components.common.base.metric_facts import METRICS, NO_QUALITY, Takes
from components.measurer import batch_metrics, result_files
from components.predictor.predictions import Column, Predictions, Values
from pipeline.checks.tfma_metrics import arguments, known_metrics

COUNT = 24
RNG = np.random.default_rng(4)
ROWS: tuple[Any, ...] = (("day",), ("day", "night"))
COLUMNS = {"group": Column(ROWS, RNG.integers(-1, 2, COUNT))}  # -1: the example does not have it
SLICES = [[], ["group"]]
REQUIRED: dict[str, Any] = {
    "num_classes": 4,
    "target_class_ids": [0, 1],
    "precision": 0.6,
    "recall": 0.6,
    "sensitivity": 0.6,
    "specificity": 0.6,
    "thresholds": [0.3, 0.6],
    "false_positive_rate": 0.4,
}


def shares(*shape: int) -> np.ndarray:
    values = RNG.random(shape)
    return (values / values.sum(axis=-1, keepdims=True)).astype(np.float32)


def one_hot(labels: np.ndarray, classes: int = 4) -> np.ndarray:
    return np.eye(classes, dtype=np.float32)[labels[:, 0]]


BINARY = RNG.integers(0, 2, (COUNT, 1)).astype(np.float32)
INDEX = RNG.integers(0, 4, (COUNT, 1))
NUMBERS = RNG.normal(size=(COUNT, 1)).astype(np.float32) + 2
# Label and predictions of both models; some predictions are on a threshold.
CASES: dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]] = {
    "binary": (
        BINARY,
        np.round(RNG.random((COUNT, 1)), 1).astype(np.float32),
        RNG.random((COUNT, 1)).astype(np.float32),
    ),
    "shares": (RNG.random((COUNT, 1)).astype(np.float32), *RNG.random((2, COUNT, 1)).astype(np.float32)),
    "index": (INDEX, shares(COUNT, 4), shares(COUNT, 4)),
    "one hot": (one_hot(INDEX), shares(COUNT, 4), shares(COUNT, 4)),
    "several": (
        RNG.integers(0, 2, (COUNT, 4)).astype(np.float32),
        *RNG.random((2, COUNT, 4)).astype(np.float32),
    ),
    "numbers": (NUMBERS, NUMBERS + 0.1, np.abs(NUMBERS + RNG.normal(size=(COUNT, 1)).astype(np.float32))),
}
TAKEN = {
    "binary": (Takes.CONFUSION, Takes.PROBABILITIES, Takes.OTHER),
    "shares": (),
    "index": (Takes.INDEX,),
    "one hot": (Takes.ONE_HOT,),
    "several": (Takes.CONFUSION, Takes.PROBABILITIES),
    "numbers": (Takes.VALUES,),
}
MORE: dict[str, list[tuple[str, dict[str, Any]]]] = {
    "shares": [("AUC", {}), ("Precision", {}), ("Recall", {"thresholds": 0.3}), ("Calibration", {})],
    "index": [
        (metric, config)
        for metric in ("Precision", "Recall", "TruePositives", "FalseNegatives")
        for config in ({}, {"top_k": 2}, {"class_id": 3}, {"thresholds": [0.25]})
    ]
    + [("AUC", {}), ("AUC", {"class_id": 1}), ("AUC", {"num_thresholds": 50})]
    + [("Prevalence", {"class_id": 2}), ("SparseTopKCategoricalAccuracy", {"k": 2})],
    "one hot": [
        ("AUC", {}),
        ("Precision", {"top_k": 2}),
        ("Recall", {"class_id": 0}),
        ("TopKCategoricalAccuracy", {"k": 2}),
    ],
    "binary": [
        ("Precision", {"thresholds": 0.3}),
        ("AUC", {"curve": "PR"}),
        ("AUC", {"summation_method": "majoring"}),
    ],
}
# Metrics that TFMA's evaluation itself refuses here: they need a query_key, take no name, or a number for each example.
REFUSED = {"NDCG", "MinLabelPosition", "BooleanFlipRates", "MeanRelativeError"}


def asked(case: str) -> list[tuple[str, dict[str, Any]]]:
    """The metrics that take such labels and predictions, with arguments."""
    found = []
    for metric in sorted(known_metrics() - NO_QUALITY.keys() - REFUSED):
        takes = arguments(metric)
        assert takes is not None
        config = {name: REQUIRED[name] for name in takes.required}
        if metric in ("IoU", "MeanIoU"):
            config |= {"sparse_y_true": False, "sparse_y_pred": False}
        if METRICS[metric].takes in TAKEN[case] and (case, metric) != ("several", "BinaryIoU"):
            found.append((metric, config))
    return found + MORE.get(case, [])


def config_of(metrics: Mapping[str, list[tuple[str, dict[str, Any]]]], label: Any) -> Any:
    predicted = {"label_keys": label} if isinstance(label, dict) else {"label_key": label}
    specs = [
        tfma.MetricsSpec(
            metrics=[
                tfma.MetricConfig(
                    class_name=metric,
                    config=json.dumps({**config, "name": f"{metric} {json.dumps(config, sort_keys=True)}"}),
                )
                for metric, config in found
            ]
            + [tfma.MetricConfig(class_name="ExampleCount")],
            model_names=["candidate", "baseline"],
            output_names=[output] if output else [],
        )
        for output, found in metrics.items()
    ]
    return tfma.EvalConfig(
        model_specs=[
            tfma.ModelSpec(name="candidate", model_type="tf_lite", **predicted),
            tfma.ModelSpec(name="baseline", model_type="tf_lite", is_baseline=True, **predicted),
        ],
        slicing_specs=[tfma.SlicingSpec(feature_keys=features) for features in SLICES],
        metrics_specs=specs,
    )


def row(values: Values, index: int) -> Any:
    if isinstance(values, dict):
        return {name: array[index] for name, array in values.items()}
    return values[index]


def by_tfma(predictions: Predictions, config: Any, folder: Path) -> None:
    """TFMA's own evaluation and writers, example by example."""
    extracts = [
        {
            tfma.LABELS_KEY: dict.fromkeys(predictions.outputs, row(predictions.labels, index)),
            tfma.PREDICTIONS_KEY: {n: row(values, index) for n, values in predictions.outputs.items()},
            tfma.FEATURES_KEY: {
                name: np.array(column.rows[column.codes[index]])
                for name, column in predictions.columns.items()
                if column.codes[index] >= 0
            },
        }
        for index in range(len(predictions))
    ]
    slices = [tfma.slicer.SingleSliceSpec(spec=spec) for spec in config.slicing_specs]
    extractor = tfma.extractors.SliceKeyExtractor(slice_spec=slices)
    evaluator = tfma.evaluators.MetricsPlotsAndValidationsEvaluator(config)
    with beam.Pipeline() as pipeline:
        evaluation = (
            pipeline
            | beam.Create(extracts)
            | extractor.stage_name >> extractor.ptransform
            | evaluator.stage_name >> evaluator.ptransform
        )
        _ = evaluation | tfma.WriteResults(tfma.default_writers(str(folder), eval_config=config))


def loaded(folder: Path, model: str) -> dict[str, float]:
    """Slice, output, sub key and metric → value; a value that is not one number as its text."""
    result = tfma.load_eval_result(str(folder), model_name=model)
    return {
        f"{slice_} {output} {sub_key} {name}": value.get("doubleValue", json.dumps(value, sort_keys=True))
        for slice_, outputs in result.slicing_metrics
        for output, sub_keys in outputs.items()
        for sub_key, metrics in sub_keys.items()
        for name, value in metrics.items()
    }


def assert_the_same(predictions: Predictions, config: Any, folder: Path) -> dict[str, float]:
    by_tfma(predictions, config, folder / "tfma")
    predictions.write(str(folder))
    again = Predictions.read(str(folder))
    result_files.write(str(folder / "ours"), config, batch_metrics.evaluate(again, config))
    names = {path.name for path in (folder / "tfma").iterdir()}
    assert {path.name for path in (folder / "ours").iterdir()} == names
    found: dict[str, float] = {}
    for model in ("candidate", "baseline"):
        wanted, got = loaded(folder / "tfma", model), loaded(folder / "ours", model)
        assert got.keys() == wanted.keys()
        for name, value in wanted.items():
            if isinstance(value, str):
                assert got[name] == value, name
            else:  # TFMA adds float32 in an order of its own each time; differences keep what that leaves
                rounding = 5e-7 if name.endswith("_diff") else 1e-9
                assert got[name] == pytest.approx(value, rel=5e-7, abs=rounding, nan_ok=True), name
        found |= got
    validation = tfma.load_validation_result
    assert validation(str(folder / "ours")) == validation(str(folder / "tfma"))
    return found


def test_metrics_of_arrays_are_tfmas(tmp_path: Path) -> None:
    sides = ("candidate", "baseline")
    predictions = Predictions(
        {case: arrays[0] for case, arrays in CASES.items()},
        {side: {case: arrays[at] for case, arrays in CASES.items()} for at, side in enumerate(sides, 1)},
        COLUMNS,
    )
    config = config_of({case: asked(case) for case in CASES}, {case: case for case in CASES})
    found = assert_the_same(predictions, config, tmp_path)
    assert len({value for value in found.values() if not isinstance(value, str)}) > 300


def test_a_model_with_one_output_has_no_name_for_it(tmp_path: Path) -> None:
    labels, candidate, baseline = CASES["index"]
    predictions = Predictions(labels, {"candidate": candidate, "baseline": baseline}, COLUMNS)
    metrics = [("SparseCategoricalAccuracy", {}), ("Recall", {"class_id": 1}), ("AUC", {})]
    assert_the_same(predictions, config_of({"": metrics}, "label"), tmp_path)


def test_every_metric_that_the_gate_accepts_is_among_them() -> None:
    tried = {metric for case in CASES for metric, _ in asked(case)}
    assert known_metrics() - NO_QUALITY.keys() - tried == REFUSED
