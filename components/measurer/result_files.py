"""TFMA's result files of metrics that are computed: what its own writers write and `tfma.load_eval_result` reads."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

import tensorflow as tf
import tensorflow_model_analysis as tfma
from google.protobuf import json_format
from tensorflow_model_analysis.proto.config_pb2 import EvalRun
from tensorflow_model_analysis.version import VERSION
from tensorflow_model_analysis.writers import eval_config_writer
from tensorflow_model_analysis.writers import metrics_plots_and_validations_writer as tfma_writer

_UNKNOWN = "<unknown>"


def write(folder: str, config: Any, metrics: Mapping[Any, Mapping[Any, Any]]) -> None:
    """Writes the metrics, TFMA's configuration and its empty files of plots and attributions.

    Args:
        folder: Where to; made if it does not exist.
        config: The `tfma.EvalConfig`.
        metrics: Slice → metric's key → value.
    """
    os.makedirs(folder, exist_ok=True)
    slices = metrics.items()
    empty: dict[Any, Any] = {}
    shard = "-00000-of-00001"
    files = {
        f"{tfma.METRICS_KEY}{shard}": [
            tfma_writer.convert_slice_metrics_to_proto((key, dict(values)), None) for key, values in slices
        ],
        f"{tfma.PLOTS_KEY}{shard}": [
            tfma_writer.convert_slice_plots_to_proto((key, empty), None) for key, _ in slices
        ],
        f"{tfma.ATTRIBUTIONS_KEY}{shard}": [
            tfma_writer.convert_slice_attributions_to_proto((key, empty)) for key, _ in slices
        ],
        # Without thresholds: the gate judges.
        tfma.VALIDATIONS_KEY: [tfma_writer.CombineValidations(config).extract_output(None)],
    }
    for name, protos in files.items():
        _write_records(os.path.join(folder, f"{name}.tfrecord"), protos)
    run = EvalRun(
        eval_config=config,
        version=VERSION,
        data_location=_UNKNOWN,
        file_format=_UNKNOWN,
        model_locations={"": _UNKNOWN},
    )
    name = f"{eval_config_writer.EVAL_CONFIG_FILE}.{eval_config_writer.EVAL_CONFIG_FILE_FORMAT}"
    with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
        file.write(json_format.MessageToJson(run))


def _write_records(path: str, protos: Iterable[Any]) -> None:
    with tf.io.TFRecordWriter(path) as writer:
        for proto in protos:
            writer.write(proto.SerializeToString())
