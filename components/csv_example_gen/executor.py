"""Turns rows of CSV files into examples, as TFX does, and leaves cells that spell a missing value without one.

TFX's own executor infers text for a column of numbers in which one cell is `NA`, and has no option for that.
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Collection, Iterator, Sequence
from typing import Any

import apache_beam as beam
import tensorflow as tf
from tfx.components.example_gen import base_example_gen_executor
from tfx.dsl.io import fileio
from tfx.utils import io_utils
from tfx_bsl.coders import csv_decoder
from tfx_bsl.coders.csv_decoder import ColumnInfo, ColumnType

from components.common.base.errors import ParedownError
from components.common.base.missing_values import is_missing


class ColumnError(ParedownError):
    """A file has a column that cannot be; the message names both."""


# As pipeline.checks reads tables: csv refuses more than 128 KiB by default.
_LONGEST_FIELD = 2**24


def rows(path: str, missing: Collection[str], with_name: bool = False) -> Iterator[list[bytes]]:
    """The rows of a file below its header, without blank lines; a cell without a value is empty.

    Args:
        path: The file.
        missing: Spellings of a missing value.
        with_name: Whether the name of the file is a last cell.
    """
    name = [os.path.basename(path).encode()] if with_name else []
    csv.field_size_limit(_LONGEST_FIELD)
    with beam.io.filesystems.FileSystems.open(path) as file:
        file.readline()  # the names of the columns
        for cells in csv.reader(io.TextIOWrapper(file, encoding="utf-8", newline="")):
            if cells:
                yield [b"" if is_missing(cell, missing) else cell.encode() for cell in cells] + name


def to_example(cells: Sequence[bytes], columns: Sequence[ColumnInfo]) -> tf.train.Example:
    """Makes an example of a row, with a feature for each column.

    Args:
        cells: As `rows` gives them.
        columns: Names and types, as tfx_bsl infers them from all rows.
    """
    example = tf.train.Example()
    for column, cell in zip(columns, cells, strict=True):
        feature = example.features.feature[column.name]
        if column.type == ColumnType.INT:
            feature.int64_list.value.extend([int(cell)] if cell else [])
        elif column.type == ColumnType.FLOAT:
            feature.float_list.value.extend([float(cell)] if cell else [])
        elif column.type == ColumnType.STRING:
            feature.bytes_list.value.extend([cell] if cell else [])
    return example


@beam.ptransform_fn
@beam.typehints.with_input_types(beam.Pipeline)
@beam.typehints.with_output_types(tf.train.Example)
def _read_csv(
    pipeline: beam.Pipeline, exec_properties: dict[str, Any], split_pattern: str
) -> beam.PCollection:
    paths = sorted(fileio.glob(os.path.join(exec_properties["input_base"], split_pattern)))
    names = io_utils.load_csv_column_names(paths[0])
    missing = frozenset(json.loads(exec_properties["missing"]))
    feature = exec_properties.get("file_feature") or ""
    if feature in names:
        raise ColumnError(
            f"{paths[0]} has a column {feature!r}, the name of the feature that gets each row's file; rename it"
        )
    names = [*names, feature] if feature else names
    read = pipeline | "Files" >> beam.Create(paths) | "Rows" >> beam.FlatMap(rows, missing, bool(feature))
    inferred = read | "InferTypes" >> beam.CombineGlobally(
        csv_decoder.ColumnTypeInferrer(names, skip_blank_lines=True)
    )
    return read | "ToExample" >> beam.Map(to_example, beam.pvalue.AsSingleton(inferred))


class Executor(base_example_gen_executor.BaseExampleGenExecutor):
    """TFX's ExampleGen for CSV files with missing values."""

    def GetInputSourceToExamplePTransform(self) -> Any:
        """The transform that reads the files of one split."""
        return _read_csv
