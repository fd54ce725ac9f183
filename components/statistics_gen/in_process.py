"""TFDV's statistics without a Beam pipeline: its own generators, fed with columns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import tensorflow_data_validation as tfdv
from tensorflow_data_validation.statistics import stats_impl
from tfx_bsl.public import tfxio

from components.common.data.ahead import ahead

_TOGETHER = 1024
# TFDV's sketch of the most frequent values counts this many exactly, and texts up to this many bytes; a Beam pipeline
# counts all of them.
_MOST_VALUES = 1024
_LONGEST_TEXT = 1024


def of_files(files: Sequence[str]) -> Any:
    """The statistics of TFRecord files of examples.

    Returns:
        `DatasetFeatureStatisticsList`; None if it takes a Beam pipeline to count all texts.
    """
    source = tfxio.TFExampleRecord(
        file_pattern=list(files), telemetry_descriptors=["paredown", "statistics_gen"]
    )
    options = tfxio.RecordBatchesOptions(batch_size=_TOGETHER, num_epochs=1, shuffle=False)
    return of_batches(ahead(source.RecordBatches(options)))


def of_batches(batches: Iterable[pa.RecordBatch]) -> Any:
    """The statistics of examples as tfx-bsl decodes them; see `of_files`."""
    generators = stats_impl.get_generators(tfdv.StatsOptions(), in_memory=True)
    found = [generator.create_accumulator() for generator in generators]
    for batch in batches:
        if _longest_text(batch) > _LONGEST_TEXT:
            return None
        found = [generator.add_input(one, batch) for generator, one in zip(generators, found, strict=True)]
    statistics = stats_impl.extract_statistics_output(found, generators)
    texts = (feature.string_stats.unique for dataset in statistics.datasets for feature in dataset.features)
    return statistics if max(texts, default=0) <= _MOST_VALUES else None


def _longest_text(batch: pa.RecordBatch) -> int:
    lengths = [
        pc.max(pc.binary_length(column.flatten())).as_py() or 0
        for column in batch.columns
        if not pa.types.is_null(column.type) and not pa.types.is_primitive(column.type.value_type)
    ]
    return max(lengths, default=0)
