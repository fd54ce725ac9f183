"""Anomalies, as TensorFlow Data Validation writes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tensorflow_data_validation as tfdv
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2

from components.anomaly_gate.executor import DataAnomalyError, read_anomalies, refuse_anomalies
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
