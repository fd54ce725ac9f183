"""Turns rows of Parquet files into examples.

TFX has such an executor, too (`tfx.components.example_gen.custom_executors.parquet_executor`), but it reads every
0, 0.0, False and "" as a missing value: of a binary label only the ones would be left.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import apache_beam as beam
import tensorflow as tf
from tfx.components.example_gen import base_example_gen_executor

from components.common.base.errors import ParedownError


class RowError(ParedownError, ValueError):
    """A row cannot be an example; the message names the column."""


def to_example(row: Mapping[str, Any]) -> tf.train.Example:
    """Makes an example of a row.

    Args:
        row: Column → an integer, a float, a boolean, text, bytes, a list of one of these, or None.

    Returns:
        An example with a feature for each column: int64 for integers and booleans, float32 for floats, bytes
        for text (as UTF-8) and bytes; one without values if the row has None or an empty list.

    Raises:
        RowError: If a value has another type, or a list has a gap.
    """
    example = tf.train.Example()
    for name, value in row.items():
        feature = example.features.feature[name]
        values = value if isinstance(value, list) else [] if value is None else [value]
        if not values:
            continue
        if any(each is None for each in values):
            raise RowError(f"column {name!r} has a list with a null in it; fill in the value")
        first = values[0]
        if isinstance(first, int):  # booleans, too
            feature.int64_list.value.extend(int(each) for each in values)
        elif isinstance(first, float):
            feature.float_list.value.extend(values)
        elif isinstance(first, str):
            feature.bytes_list.value.extend(each.encode() for each in values)
        elif isinstance(first, bytes):
            feature.bytes_list.value.extend(values)
        else:
            raise RowError(f"column {name!r} holds values of type {type(first).__name__}")
    return example


@beam.ptransform_fn
@beam.typehints.with_input_types(beam.Pipeline)
@beam.typehints.with_output_types(tf.train.Example)
def _read_parquet(
    pipeline: beam.Pipeline, exec_properties: dict[str, Any], split_pattern: str
) -> beam.PCollection:
    pattern = os.path.join(exec_properties["input_base"], split_pattern)
    return pipeline | "Read" >> beam.io.ReadFromParquet(pattern) | "ToExample" >> beam.Map(to_example)


class Executor(base_example_gen_executor.BaseExampleGenExecutor):
    """TFX's ExampleGen for Parquet files."""

    def GetInputSourceToExamplePTransform(self) -> Any:
        """The transform that reads the files of one split."""
        return _read_parquet
