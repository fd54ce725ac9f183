"""Predicting the eval split with several models at once.

Examples are read in batches and predicted one by one, as on a device. Only what metrics need is kept: memory grows
with labels and outputs, not with the models' inputs.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tensorflow_model_analysis.utils import util

from components.common.base.label import SAME_AS_INPUT
from components.common.base.runtime import LITERT, Runtime
from components.common.data.examples import Examples
from components.common.tflite import runtimes
from components.common.tflite.litert_batch import Logits, predict_batch
from components.predictor.eval_batches import Batch, eval_batches
from components.predictor.predictions import Column, Predictions, Row, Values


class NotArrays(Exception):
    """Labels have no array: some examples have more values than others."""


def predict(
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
        waiting: list[tuple[Batch, dict[str, Future[Values]]]] = []
        for number, batch in enumerate(eval_batches(examples, raw_examples)):
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

    def add(self, batch: Batch, predicted: Mapping[str, Future[Values]]) -> None:
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

    def _labels_of(self, batch: Batch, name: str) -> NDArray[Any]:
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


def _joined(parts: Sequence[Values]) -> Values:
    first = parts[0]
    if isinstance(first, dict):
        return {name: _whole([part[name] for part in parts if isinstance(part, dict)]) for name in first}
    return _whole([part for part in parts if not isinstance(part, dict)])


def _whole(parts: Sequence[NDArray[Any]]) -> NDArray[Any]:
    if len({part.shape[1:] for part in parts}) > 1:
        raise NotArrays
    return np.concatenate(parts)
