"""Data sets of a few rows, with the artifacts that TFX's nodes make of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import tensorflow_data_validation as tfdv
from google.protobuf import text_format
from tensorflow_data_validation.statistics import stats_impl
from tfx_bsl.coders import example_coder

from components.anomaly_gate import contents, validation
from components.anomaly_gate.data import Data
from components.anomaly_gate.finding import Finding
from components.anomaly_gate.params import Labels, Validation
from components.anomaly_gate.statistics import EVAL, TRAIN, anomalies_in
from tests.conftest import to_example, write_examples

Row = dict[str, Any]


def statistics_of(records: Sequence[bytes]) -> Any:
    """What StatisticsGen writes."""
    return stats_impl.generate_statistics_in_memory(decoded(records))


def decoded(records: Sequence[bytes]) -> pa.RecordBatch:
    """Examples as tfx-bsl decodes them."""
    return example_coder.ExamplesToRecordBatchDecoder().DecodeBatch(list(records))


def batches(records: Sequence[bytes]) -> Iterator[pa.RecordBatch]:
    """Records in batches of unequal size: what is found does not depend on where they are cut."""
    for part in np.split(np.arange(len(records)), [7, 40, 150]):
        if len(part):
            yield decoded([records[index] for index in part])


def data_of(
    train: Sequence[bytes], evaluation: Sequence[bytes], label: str | None = None, **labels: Any
) -> Data:
    """Both splits, as the gate looks at them; labels are classes by default."""
    records = {TRAIN: train, EVAL: evaluation}
    statistics = {split: statistics_of(found) for split, found in records.items()}
    schema = tfdv.infer_schema(statistics[TRAIN], infer_feature_shape=True)
    features = [label] if label else []
    return Data(
        schema=schema,
        statistics=statistics,
        contents={split: contents.gather(batches(found), features) for split, found in records.items()},
        anomalies=[
            anomaly
            for split in (TRAIN, EVAL)
            for anomaly in anomalies_in(tfdv.validate_statistics(statistics[split], schema), split)
        ],
        labels=Labels(**{"features": features, "classes": True, "perhaps_amounts": False, **labels}),
    )


def findings(
    train: Sequence[Row],
    evaluation: Sequence[Row],
    options: dict[str, Any] | None = None,
    label: str | None = None,
    **labels: Any,
) -> dict[tuple[str, str, str], Finding]:
    """(split, feature, kind) → what is found in rows."""
    encoded = [[to_example(row) for row in rows] for rows in (train, evaluation)]
    data = data_of(*encoded, label=label, **labels)
    found = validation.find(data, Validation.model_validate(options or {}))
    return {(f.split, f.feature, f.kind): f for f in found}


def write_artifacts(folder: Path, train: Sequence[Row], evaluation: Sequence[Row]) -> dict[str, str]:
    """Lays splits out as TFX does; returns input key of the gate → folder of the artifact."""
    records = {TRAIN: [to_example(row) for row in train], EVAL: [to_example(row) for row in evaluation]}
    statistics = {split: statistics_of(found) for split, found in records.items()}
    schema = tfdv.infer_schema(statistics[TRAIN], infer_feature_shape=True)
    write_examples(folder, text_format.MessageToString(schema), **records)
    for split, found in statistics.items():
        made = folder / "statistics" / f"Split-{split}" / "FeatureStats.pb"
        made.parent.mkdir(parents=True)
        made.write_bytes(found.SerializeToString())
        written = folder / "anomalies" / f"Split-{split}" / "SchemaDiff.pb"
        written.parent.mkdir(parents=True)
        written.write_bytes(tfdv.validate_statistics(found, schema).SerializeToString())
    keys = {"examples": "examples", "inferred_schema": "schema"}
    return {
        key: str(folder / keys.get(key, key))
        for key in ("anomalies", "inferred_schema", "statistics", "examples")
    }
