"""Batches of the eval split, as read and as models take them."""

from __future__ import annotations

import gzip
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import tensorflow as tf
import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.utils import util
from tfx_bsl.public import tfxio

from components.common.data.examples import Examples
from components.common.data.transform_graph import TransformGraph

# Records that are read together, or bytes.
_TOGETHER = 1024
_BYTES_TOGETHER = 1 << 24


@dataclass(frozen=True)
class Batch:
    """Features as read, and what models and labels are looked up in."""

    features: Mapping[str, Any]
    inputs: Mapping[str, Any]
    count: int


def eval_batches(examples: Examples, raw_examples: Examples | None) -> Iterator[Batch]:
    read = raw_examples or examples
    transform = None
    if raw_examples is not None and examples.transform_uri:
        graph = TransformGraph(examples.transform_uri)
        signature = [tf.TensorSpec([None], tf.string)]
        transform = tf.function(graph.transform_all, input_signature=signature, autograph=False)
    files = read.files("eval")
    source = tfxio.TFExampleRecord(
        file_pattern=files,
        schema=read.schema(),
        raw_record_column_name=tfma.ARROW_INPUT_COLUMN if transform else None,
        telemetry_descriptors=["paredown", "evaluator"],
    )
    representations = source.TensorRepresentations()
    options = tfxio.RecordBatchesOptions(batch_size=_batch_size(files), num_epochs=1, shuffle=False)
    for record_batch in source.RecordBatches(options):
        names = [name for name in record_batch.schema.names if name != tfma.ARROW_INPUT_COLUMN]
        columns = [record_batch.column(record_batch.schema.get_field_index(name)) for name in names]
        features = util.record_batch_to_tensor_values(
            pa.RecordBatch.from_arrays(columns, names), representations
        )
        if transform is None:
            yield Batch(features, features, record_batch.num_rows)
            continue
        index = record_batch.schema.get_field_index(tfma.ARROW_INPUT_COLUMN)
        records = np.asarray(record_batch.column(index).flatten(), object)
        made = {name: value.numpy() for name, value in transform(tf.constant(records)).items()}
        yield Batch(features, made, record_batch.num_rows)


def _batch_size(files: Sequence[str]) -> int:
    """Records to read together, by the length of the first one, with which a TFRecord file begins."""
    for path in files:
        with gzip.open(path) as file:
            head = file.read(8)
        if head:
            return max(1, min(_TOGETHER, _BYTES_TOGETHER // max(1, int.from_bytes(head, "little"))))
    return 1
