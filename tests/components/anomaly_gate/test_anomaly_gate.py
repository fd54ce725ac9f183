"""The gate itself: what it reads, refuses, hands on and records."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import tensorflow_data_validation as tfdv
from tensorflow_metadata.proto.v0 import anomalies_pb2
from tfx.types import standard_artifacts

from components.anomaly_gate.executor import DataAnomalyError, Executor, read_data
from components.anomaly_gate.finding import FINDINGS, Finding, as_property, from_property
from components.anomaly_gate.params import Kind, Labels, Validation
from components.anomaly_gate.statistics import anomalies_in, read_anomalies
from components.anomaly_gate.validation import AllowanceError
from components.common.base.errors import describe
from components.common.data.examples import Examples
from components.common.data.model_inputs import InputSpec
from tests.components.anomaly_gate.splits import Row, statistics_of, write_artifacts
from tests.conftest import to_example

GOOD = [{"fare": [i / 2], "payment": [["cash", "card"][i % 2]], "label": [i // 3 % 2]} for i in range(200)]
CLEAN = [{**row, "fare": [row["fare"][0] + 0.25]} for row in GOOD[::2] + GOOD[1::2]]

_TYPES = {
    "anomalies": standard_artifacts.ExampleAnomalies,
    "inferred_schema": standard_artifacts.Schema,
    "statistics": standard_artifacts.ExampleStatistics,
    "examples": standard_artifacts.Examples,
}


def execute(folder: Path, evaluation: list[Row], train: list[Row] = GOOD, **options: Any) -> Any:
    """Runs the gate on a train split and an eval split; returns its output."""
    uris = write_artifacts(folder, train, evaluation)
    inputs = {}
    for key, uri in uris.items():
        inputs[key] = [_TYPES[key]()]
        inputs[key][0].uri = uri
    output = standard_artifacts.Schema()
    output.uri = str(folder / "out")
    labels = {"features": ["label"], "classes": True, "perhaps_amounts": False, "names": []}
    properties = {
        "validation": json.dumps(Validation.model_validate(options).model_dump(mode="json")),
        "labels": json.dumps(labels),
        "code_version": "1",
    }
    Executor().Do(inputs, {"schema": [output]}, properties)
    return output


def test_the_schema_of_clean_data_is_handed_on(tmp_path: Path) -> None:
    output = execute(tmp_path, CLEAN)
    written = (tmp_path / "out" / "schema.pbtxt").read_text(encoding="utf-8")
    assert written == (tmp_path / "schema" / "schema.pbtxt").read_text(encoding="utf-8")
    assert output.get_string_custom_property(FINDINGS) == "[]"


@pytest.mark.parametrize(
    "names",
    [
        ["0", "1", "2", "10"],
        ["0", "1"],
        ["false", "true"],
        ["-1", "1"],
        ["01", "02"],
        ["no", "yes"],
        ["1.5", "b"],
    ],
    ids=" ".join,
)
def test_text_labels_are_classes_whatever_they_look_like(tmp_path: Path, names: list[str]) -> None:
    def rows(shift: float) -> list[Row]:
        return [{"x": [i * 1.0 + shift], "label": [names[i % len(names)]]} for i in range(120)]

    output = execute(tmp_path, rows(0.5), train=rows(0), max_skew=None)
    examples = Examples(str(tmp_path / "examples"), output.uri, None, "label")
    vocabulary = examples.vocabulary()
    assert vocabulary is not None and list(vocabulary.names) == names
    arrays = examples.load("train", {"x": InputSpec((1,), np.float32)})
    assert [int(x) % len(names) for x in arrays.features["x"][:, 0]] == list(arrays.labels)


def test_a_text_label_of_numbers_that_train_does_not_have_is_refused(tmp_path: Path) -> None:
    rows: list[Row] = [{"x": [i * 1.0], "label": [["0", "1"][i % 2]]} for i in range(120)]
    other = [*rows[1:], {"x": [0.5], "label": ["10"]}]
    with pytest.raises(DataAnomalyError, match="1 of 120 labels are classes that train does not have: 10;"):
        execute(tmp_path, other, train=rows, max_duplicates=1.0)


def test_everything_is_refused_at_once_a_line_each(tmp_path: Path) -> None:
    bad = [*CLEAN[:-30], *[{"fare": [1.0], "payment": ["bitcoin"], "label": [2]}] * 30]
    bad[0] = {**bad[0], "fare": [float("nan")]}
    with pytest.raises(DataAnomalyError) as refused:
        execute(tmp_path, bad, max_skew=None)
    assert describe(refused.value).splitlines() == [
        "DataAnomalyError: feature 'fare' of split 'eval': nan: 1 of 200 values are not numbers (NaN); to allow it, "
        "write data.validation.allow: [{feature: fare, kinds: [nan]}]",
        "feature 'label' of split 'eval': unseen: 30 of 200 labels are classes that train does not have: 2; to "
        "allow it, write data.validation.allow: [{feature: label, kinds: [unseen]}]",
        "feature 'payment' of split 'eval': unseen: 15.00% of the values are not in train: bitcoin; the limit is "
        "0.01 (max_unseen); to allow it, write data.validation.allow: [{feature: payment, kinds: [unseen]}]",
    ]
    assert not (tmp_path / "out").exists()


def test_what_is_let_pass_is_recorded_with_the_schema(tmp_path: Path) -> None:
    bad = [{**row, "payment": ["bitcoin"]} if i == 0 else row for i, row in enumerate(CLEAN)]
    bad[1] = {**bad[1], "fare": [float("inf")]}
    output = execute(tmp_path, bad, allow=[{"feature": "fare", "kinds": ["infinite"]}])
    found = {f.feature: f for f in from_property(output.get_string_custom_property(FINDINGS))}
    assert {name: (f.kind, f.state, f.measured) for name, f in found.items()} == {
        "fare": ("infinite", "allowed", 1),
        "payment": ("unseen", "tolerated", 0.005),
    }


def test_an_unknown_feature_in_allow_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AllowanceError, match="'fair' is not a feature of the data; did you mean 'fare'"):
        execute(tmp_path, CLEAN, allow=[{"feature": "fair", "kinds": ["nan"]}])


def test_data_without_statistics_or_validation_do_not_pass(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="not validated"):
        read_anomalies(str(tmp_path))
    (tmp_path / "data").mkdir()
    uris = write_artifacts(tmp_path / "data", GOOD, CLEAN)
    (Path(uris["statistics"]) / "Split-eval" / "FeatureStats.pb").unlink()
    labels = Labels(features=["label"], classes=True, perhaps_amounts=False)
    with pytest.raises(
        FileNotFoundError, match=r"Split-eval/FeatureStats\.pb: the split has no statistics"
    ):
        read_data(uris["examples"], uris["statistics"], uris["inferred_schema"], uris["anomalies"], labels)


def test_what_example_validator_found_counts_though_the_gate_does_not_find_it(tmp_path: Path) -> None:
    uris = write_artifacts(tmp_path, GOOD, CLEAN)
    anomalies = anomalies_pb2.Anomalies()
    anomalies.anomaly_info["fare"].short_description = "Out of the ordinary"
    anomalies.anomaly_info["fare"].description = "because it is."
    anomalies.dataset_anomaly_info.description = "The dataset has too few examples."
    path = Path(uris["anomalies"]) / "Split-eval" / "SchemaDiff.pb"
    path.write_bytes(anomalies.SerializeToString())
    found = [(a.feature, a.kind, a.text) for a in read_anomalies(uris["anomalies"])]
    assert found == [
        ("fare", "schema", "Out of the ordinary: because it is."),
        ("", "schema", "The dataset has too few examples."),
    ]


def test_each_anomaly_of_a_feature_has_its_kind() -> None:
    good = statistics_of([to_example(row) for row in GOOD])
    schema = tfdv.infer_schema(good, infer_feature_shape=True)
    bad = statistics_of([to_example({"payment": ["bitcoin"], "extra": [1]}) for _ in range(9)])
    found = {(a.feature, a.kind) for a in anomalies_in(tfdv.validate_statistics(bad, schema), "eval")}
    assert found == {("payment", "unseen"), ("extra", "new"), ("fare", "missing"), ("label", "missing")}


def test_every_type_of_anomaly_has_a_kind() -> None:
    """Those without a kind are reported unchanged, and refused."""
    kinds = set()
    for name, number in anomalies_pb2.AnomalyInfo.Type.items():
        anomalies = anomalies_pb2.Anomalies()
        anomalies.anomaly_info["x"].reason.add(type=number, short_description=name)
        (anomaly,) = anomalies_in(anomalies, "eval")
        kinds.add(anomaly.kind)
    assert kinds - {"few"} <= set(get_args(Kind))
    assert {"nan", "infinite", "unseen", "missing", "shape", "new", "skew", "few", "type"} <= kinds


def test_findings_are_what_they_were_after_ml_metadata() -> None:
    findings = [
        Finding("eval", "fare", "nan", "3 of 9 values …", 3, 0, "allow: […]", "allowed"),
        Finding("train", "", "few", "x"),
    ]
    assert from_property(as_property(findings)) == findings
