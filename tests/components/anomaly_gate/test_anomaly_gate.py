"""Anomalies, as TensorFlow Data Validation writes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tensorflow_data_validation as tfdv
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import anomalies_pb2, schema_pb2
from tfx.types import standard_artifacts

from components.anomaly_gate.executor import (
    DataAnomalyError,
    Executor,
    read_anomalies,
    refuse_anomalies,
)
from tests.conftest import to_example

SCHEMA = """
feature {
  name: "fare" type: FLOAT
  presence { min_fraction: 1.0 min_count: 1 }
  shape { dim { size: 1 } }
}
feature {
  name: "payment" type: BYTES domain: "payment"
  presence { min_count: 1 }
}
string_domain { name: "payment" value: "cash" value: "card" }
"""


def write_anomalies(uri: Path, split: str, rows: list[dict[str, Any]], work: Path) -> None:
    """Validates rows against SCHEMA, and writes what ExampleValidator would."""
    import tensorflow as tf

    work.mkdir(exist_ok=True)
    path = str(work / f"{split}.tfrecord")
    with tf.io.TFRecordWriter(path) as writer:
        for row in rows:
            writer.write(to_example(row))
    statistics = tfdv.generate_statistics_from_tfrecord(path)
    schema = text_format.Parse(SCHEMA, schema_pb2.Schema())
    anomalies = tfdv.validate_statistics(statistics, schema)
    folder = uri / f"Split-{split}"
    folder.mkdir(parents=True)
    (folder / "SchemaDiff.pb").write_bytes(anomalies.SerializeToString())


GOOD = [{"fare": [1.5], "payment": ["cash"]}, {"fare": [2.5], "payment": ["card"]}] * 5


def test_clean_data_pass(tmp_path: Path) -> None:
    write_anomalies(tmp_path / "a", "train", GOOD, tmp_path / "w")
    write_anomalies(tmp_path / "a", "eval", GOOD[:4], tmp_path / "w")
    assert read_anomalies(str(tmp_path / "a")) == {}
    refuse_anomalies(str(tmp_path / "a"))


def test_each_anomaly_is_named_with_its_split(tmp_path: Path) -> None:
    write_anomalies(tmp_path / "a", "train", GOOD, tmp_path / "w")
    bad = [*GOOD, {"payment": ["bitcoin"]}]
    write_anomalies(tmp_path / "a", "eval", bad, tmp_path / "w")
    found = read_anomalies(str(tmp_path / "a"))
    assert set(found) == {"eval"}
    assert set(found["eval"]) == {"fare", "payment"}
    with pytest.raises(DataAnomalyError) as refused:
        refuse_anomalies(str(tmp_path / "a"))
    assert "feature 'payment' of split 'eval': Unexpected string values" in str(refused.value)
    assert "bitcoin" in str(refused.value)
    assert "feature 'fare' of split 'eval'" in str(refused.value)


def test_data_that_were_not_validated_do_not_pass(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="not validated"):
        refuse_anomalies(str(tmp_path))


def artifact(kind: Any, uri: Path) -> Any:
    made = kind()
    made.uri = str(uri)
    return made


@pytest.mark.parametrize("clean", [True, False])
def test_the_schema_is_handed_on_only_where_the_data_are_clean(tmp_path: Path, clean: bool) -> None:
    rows = GOOD if clean else [*GOOD, {"payment": ["bitcoin"]}]
    write_anomalies(tmp_path / "a", "train", rows, tmp_path / "w")
    (tmp_path / "schema").mkdir()
    (tmp_path / "schema" / "schema.pbtxt").write_text(SCHEMA, encoding="utf-8")
    inputs = {
        "anomalies": [artifact(standard_artifacts.ExampleAnomalies, tmp_path / "a")],
        "inferred_schema": [artifact(standard_artifacts.Schema, tmp_path / "schema")],
    }
    outputs = {"schema": [artifact(standard_artifacts.Schema, tmp_path / "out")]}

    if clean:
        Executor().Do(inputs, outputs, {"code_version": "1"})
        assert (tmp_path / "out" / "schema.pbtxt").read_text(encoding="utf-8") == SCHEMA
    else:
        with pytest.raises(DataAnomalyError, match="feature 'payment' of split 'train'"):
            Executor().Do(inputs, outputs, {"code_version": "1"})
        assert not (tmp_path / "out").exists()


def test_a_message_about_the_whole_data_set_is_an_anomaly(tmp_path: Path) -> None:
    anomalies = anomalies_pb2.Anomalies()
    anomalies.dataset_anomaly_info.description = "The dataset has too few examples."
    folder = tmp_path / "Split-eval"
    folder.mkdir()
    (folder / "SchemaDiff.pb").write_bytes(anomalies.SerializeToString())

    with pytest.raises(DataAnomalyError, match=r"data set.*'eval': The dataset has too few examples"):
        refuse_anomalies(str(tmp_path))
