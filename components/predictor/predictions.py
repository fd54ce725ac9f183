"""Models' predictions on the eval split, as arrays.

Examples are read in batches and predicted one by one, as on a device. Only what metrics need is kept: memory grows
with labels and outputs, not with the models' inputs.
"""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import tensorflow as tf
import tensorflow_model_analysis as tfma
from numpy.typing import NDArray
from tensorflow_model_analysis.utils import util
from tfx_bsl.public import tfxio

from components.common.base.label import SAME_AS_INPUT
from components.common.base.runtime import LITERT, Runtime
from components.common.data.arrays import content_digests
from components.common.data.examples import Examples
from components.common.data.transform_graph import TransformGraph
from components.common.tflite import runtimes
from components.predictor.litert_batch import Logits, predict_batch

PREDICTIONS_FILE = "predictions.npz"

# Of one output, or output → its values, first axis the examples; as labels and predictions of TFMA.
Values = NDArray[Any] | dict[str, NDArray[Any]]
Row = tuple[str | int | float, ...]

# Records that are read together, or bytes.
_TOGETHER = 1024
_BYTES_TOGETHER = 1 << 24


class NotArrays(Exception):
    """Labels have no array: some examples have more values than others."""


@dataclass(frozen=True)
class Column:
    """A feature that slices are named by.

    Attributes:
        rows: Distinct values of it. An example may have several at once, or none.
        codes: (examples,) index in `rows`; -1 if the example does not have the feature.
    """

    rows: tuple[Row, ...]
    codes: NDArray[np.int64]


@dataclass(frozen=True)
class Predictions:
    """Labels, predictions and slices of the eval split.

    Attributes:
        labels: (examples, …), or output → such an array; empty if there are none.
        outputs: Model → the same of its predictions.
        columns: Feature → its values, of the features that slices are named by.
    """

    labels: Values
    outputs: Mapping[str, Values]
    columns: Mapping[str, Column]

    def __len__(self) -> int:
        return len(_first(next(iter(self.outputs.values()))))

    def beside(self, other: Predictions) -> Predictions:
        """The same, with the outputs of another model too.

        Args:
            other: Predictions of the same examples in the same order.

        Raises:
            ValueError: If labels differ, so that it cannot be the same examples.
        """
        own, others = _flat("labels", self.labels), _flat("labels", other.labels)
        same = own.keys() == others.keys() and all(_equal(own[name], others[name]) for name in own)
        if not same or len(self) != len(other):
            raise ValueError("the baseline's predictions are of other examples; run again")
        return Predictions(
            self.labels, {**other.outputs, **self.outputs}, {**other.columns, **self.columns}
        )

    def in_order(self) -> Predictions:
        """The same in an order that depends on nothing else: ExampleGen shuffles, and not twice alike."""
        labels, outputs = _laid_out(self.labels, dict(self.outputs))
        content = {**_flat("labels", labels), **{name: c.codes for name, c in self.columns.items()}}
        for model, values in outputs.items():
            content |= _flat(f"outputs/{model}", values)
        digests = content_digests(content)
        order = np.array(sorted(range(len(digests)), key=digests.__getitem__), np.int64)
        return Predictions(
            _taken(labels, order),
            {model: _taken(values, order) for model, values in outputs.items()},
            {name: Column(column.rows, column.codes[order]) for name, column in self.columns.items()},
        )

    def write(self, folder: str) -> None:
        """Writes `PREDICTIONS_FILE`."""
        columns = {name: [list(row) for row in column.rows] for name, column in self.columns.items()}
        arrays = {"columns": np.array(json.dumps(columns, sort_keys=True))}
        arrays |= {f"codes/{name}": column.codes for name, column in self.columns.items()}
        arrays |= _flat("labels", self.labels)
        for model, values in self.outputs.items():
            arrays |= _flat(f"outputs/{model}", values)
        np.savez(os.path.join(folder, PREDICTIONS_FILE), **arrays)

    @classmethod
    def read(cls, folder: str) -> Predictions:
        """Reads what `write` wrote."""
        with np.load(os.path.join(folder, PREDICTIONS_FILE), allow_pickle=False) as file:
            arrays = dict(file)
        columns = json.loads(str(arrays["columns"]))
        models = sorted({name.split("/")[1] for name in arrays if name.startswith("outputs/")})
        return cls(
            _nested("labels", arrays),
            {model: _nested(f"outputs/{model}", arrays) for model in models},
            {
                name: Column(tuple(map(tuple, rows)), arrays[f"codes/{name}"])
                for name, rows in columns.items()
            },
        )


def _equal(one: NDArray[Any], other: NDArray[Any]) -> bool:
    return np.array_equal(one, other, equal_nan=one.dtype.kind == "f" and other.dtype.kind == "f")


def _flat(name: str, values: Values) -> dict[str, NDArray[Any]]:
    if isinstance(values, dict):
        return {f"{name}/{output}": array for output, array in values.items()}
    return {name: values}


def _nested(name: str, arrays: Mapping[str, NDArray[Any]]) -> Values:
    if name in arrays:
        return arrays[name]
    return {key[len(name) + 1 :]: array for key, array in arrays.items() if key.startswith(f"{name}/")}


def _first(values: Values) -> NDArray[Any]:
    return next(iter(values.values())) if isinstance(values, dict) else values


def predict(
    examples: Examples,
    paths: Mapping[str, str],
    slices: Sequence[str] = (),
    raw_examples: Examples | None = None,
    logits: Logits | None = None,
) -> Predictions:
    """Predicts the eval split; the order of the predictions depends on nothing else. See `predict_as_read`."""
    return predict_as_read(examples, paths, slices, raw_examples, logits).in_order()


def predict_as_read(
    examples: Examples,
    paths: Mapping[str, str],
    slices: Sequence[str] = (),
    raw_examples: Examples | None = None,
    logits: Logits | None = None,
    runtime: Runtime = LITERT,
) -> Predictions:
    """Predicts the eval split, in the order of its files.

    Args:
        examples: Whose `eval` split to predict.
        paths: Model → its TFLite file.
        slices: Features that slices are named by.
        raw_examples: The same before Transform, if they went through it. They are read instead of `examples`,
            and the transform graph is applied to them as in serving: slices are of raw features, the label is a
            transformed one.
        logits: Model → output of logits → the activation that is applied to them.
        runtime: What to predict on.

    Raises:
        LiteRTError: If a file does not load or run on LiteRT, or a feature is missing.
        TFLMError: If a file does not load or run on TFLite Micro.
        LiteRTJsError: If a file does not load or run on LiteRT.js.
        VocabularyError: If a string label is not one of its classes.
        NotArrays: If a label has more values in some examples than in others.
        ValueError: If there are no examples.
    """
    # Interpreters of one model share its batches: each takes one example at a time.
    workers = runtimes.most_at_once(runtime, max(1, (os.cpu_count() or 1) // len(paths)))
    models = {name: [runtimes.load(path, runtime) for _ in range(workers)] for name, path in paths.items()}
    gathered = _Gathered(examples, slices, [*next(iter(models.values()))[0].inputs])
    with ExitStack() as stack:
        pools = {
            name: [stack.enter_context(ThreadPoolExecutor(1)) for _ in range(workers)] for name in models
        }
        waiting: list[tuple[_Batch, dict[str, Future[Values]]]] = []
        for number, batch in enumerate(_batches(examples, raw_examples)):
            turn = number % workers
            futures = {
                name: threads[turn].submit(
                    predict_batch, models[name][turn], batch.inputs, name, (logits or {}).get(name)
                )
                for name, threads in pools.items()
            }
            waiting.append((batch, futures))
            if len(waiting) > workers:  # the next batch is read while these are predicted
                gathered.add(*waiting.pop(0))
        for left in waiting:
            gathered.add(*left)
    return gathered.predictions()


@dataclass(frozen=True)
class _Batch:
    """Features as read, and what models and labels are looked up in."""

    features: Mapping[str, Any]
    inputs: Mapping[str, Any]
    count: int


def _batches(examples: Examples, raw_examples: Examples | None) -> Iterator[_Batch]:
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
            yield _Batch(features, features, record_batch.num_rows)
            continue
        index = record_batch.schema.get_field_index(tfma.ARROW_INPUT_COLUMN)
        records = np.asarray(record_batch.column(index).flatten(), object)
        made = {name: value.numpy() for name, value in transform(tf.constant(records)).items()}
        yield _Batch(features, made, record_batch.num_rows)


def _batch_size(files: Sequence[str]) -> int:
    """Records to read together, by the length of the first one, with which a TFRecord file begins."""
    for path in files:
        with gzip.open(path) as file:
            head = file.read(8)
        if head:
            return max(1, min(_TOGETHER, _BYTES_TOGETHER // max(1, int.from_bytes(head, "little"))))
    return 1


class _ColumnSoFar:
    """A feature of the examples that were read so far."""

    def __init__(self) -> None:
        self._codes: dict[Row, int] = {}
        self._parts: list[list[int]] = []

    def add(self, values: Any, count: int) -> None:
        """Adds a batch of `count` examples; None if none of them has the feature."""
        if values is None:
            self._parts.append([-1] * count)
            return
        self._parts.append([self._code(row) for row in _rows(values)])

    def _code(self, row: Sequence[Any] | None) -> int:
        if row is None:
            return -1
        texts = (value.decode() if isinstance(value, bytes) else value for value in row)
        return self._codes.setdefault(tuple(texts), len(self._codes))

    def whole(self) -> Column:
        """The feature of all examples, its distinct values in an order that the examples' does not change."""
        rows = sorted(self._codes, key=repr)
        place = np.empty(len(rows) + 1, np.int64)
        place[[self._codes[row] for row in rows]] = np.arange(len(rows))
        place[-1] = -1  # what -1 finds
        return Column(tuple(rows), place[[code for part in self._parts for code in part]])


def _rows(values: Any) -> list[Any]:
    """The values of each example; None if it does not have the feature."""
    if isinstance(values, np.ndarray) and values.dtype != object:
        return values.reshape(len(values), -1).tolist()
    if isinstance(values, np.ndarray):
        return [None if row is None else np.ravel(row).tolist() for row in values]
    split = util.split_extracts({"values": values})
    return [np.ravel(getattr(row["values"], "values", row["values"])).tolist() for row in split]


class _Gathered:
    """The predictions so far."""

    def __init__(self, examples: Examples, slices: Sequence[str], inputs: Sequence[str] = ()):
        self._label = examples.label
        self._inputs = inputs
        self._classes = examples.vocabulary()
        self._labels: list[Values] = []
        self._outputs: dict[str, list[Values]] = {}
        self._columns = {name: _ColumnSoFar() for name in dict.fromkeys(slices)}

    def add(self, batch: _Batch, predicted: Mapping[str, Future[Values]]) -> None:
        """Adds a batch; waits for its predictions."""
        if isinstance(self._label, str):
            labels: Values = self._labels_of(batch, self._label)
            if self._classes is not None:
                labels = self._classes.indices(labels, self._label, "eval")
        else:
            labels = {output: self._labels_of(batch, name) for output, name in self._label.items()}
        self._labels.append(labels)
        for name, column in self._columns.items():
            column.add(batch.features.get(name), batch.count)
        for model, future in predicted.items():
            self._outputs.setdefault(model, []).append(future.result())

    def _labels_of(self, batch: _Batch, name: str) -> NDArray[Any]:
        if name == SAME_AS_INPUT:
            (name,) = self._inputs
        found = batch.inputs.get(name, batch.features.get(name))
        if not isinstance(found, np.ndarray) or (found.dtype == object and self._classes is None):
            raise NotArrays(name)
        return found.copy()  # a view keeps all features of its batch in memory

    def predictions(self) -> Predictions:
        """All of them."""
        if not self._labels:
            raise ValueError("split 'eval' has no examples")
        return Predictions(
            _joined(self._labels),
            {model: _joined(parts) for model, parts in self._outputs.items()},
            {name: column.whole() for name, column in self._columns.items()},
        )


def _laid_out(labels: Values, outputs: dict[str, Values]) -> tuple[Values, dict[str, Values]]:
    """Labels and outputs of several axes in the layout that metrics compare.

    If they have as many values, as those of an autoencoder, both are (examples, values). If labels have as many as an
    output has places, each is the index of a class: (examples, …) for an output of (examples, …, classes).
    """
    if not isinstance(labels, dict):
        if any(isinstance(values, dict) for values in outputs.values()):
            return labels, outputs
        given, made = _alike(labels, {model: _first(values) for model, values in outputs.items()})
        return given, dict(made)
    laid, named = dict(labels), {n: dict(v) for n, v in outputs.items() if isinstance(v, dict)}
    for output in labels:
        if all(output in values for values in named.values()):
            laid[output], made = _alike(labels[output], {n: values[output] for n, values in named.items()})
            for model, values in made.items():
                named[model][output] = values
    return laid, {**outputs, **named}


def _alike(
    labels: NDArray[Any], outputs: dict[str, NDArray[Any]]
) -> tuple[NDArray[Any], dict[str, NDArray[Any]]]:
    """The same of one output: model → its values."""
    shapes = {array.shape[1:] for array in outputs.values()}
    if len(shapes) != 1 or max(labels.ndim, *(array.ndim for array in outputs.values())) < 3:
        return labels, outputs
    (shape,) = shapes
    width = int(np.prod(labels.shape[1:]))
    if width == np.prod(shape):
        return labels.reshape(len(labels), -1), {n: a.reshape(len(a), -1) for n, a in outputs.items()}
    if width == np.prod(shape[:-1]):
        return labels.reshape(len(labels), *shape[:-1]), outputs
    return labels, outputs


def _joined(parts: Sequence[Values]) -> Values:
    first = parts[0]
    if isinstance(first, dict):
        return {name: _whole([part[name] for part in parts if isinstance(part, dict)]) for name in first}
    return _whole([_first(part) for part in parts])


def _whole(parts: Sequence[NDArray[Any]]) -> NDArray[Any]:
    if len({part.shape[1:] for part in parts}) > 1:
        raise NotArrays
    return np.concatenate(parts)


def _taken(values: Values, order: NDArray[np.int64]) -> Values:
    if isinstance(values, dict):
        return {name: array[order] for name, array in values.items()}
    return values[order]
